/** The texts of the player: a phase, a title and a detail line for each state of the viewer. */

import type { ShownParams } from '../protocol';
import { describe, oneLine, sentence } from './reasons';
import { t } from './text';
import type { Session, Stage, ViewerState } from './viewer-contract';
import { isStalled } from './viewer-watch';

export type Phase =
  'connecting' | 'negotiating' | 'playing' | 'interrupted' | 'reconnecting' | 'failed';

export interface View {
  readonly phase: Phase;
  readonly title: string;
  readonly detail: string;
  /** Progress of connecting, from 0 to 1; `null` while not connecting. */
  readonly progress: number | null;
  /** Time of the next automatic retry, in milliseconds of `Env.now`. */
  readonly retryAt: number | null;
  /** True if "Retry now" is worth offering. */
  readonly canRetry: boolean;
}

export function viewOf(state: ViewerState): View {
  const { session, previous, reason } = state;
  if (previous !== null) return replacedView(previous);
  if (session !== null && session.stage === 'playing') return playingView(state, session);
  if (session !== null) return progressView(state, session.stage);
  if (reason !== null && state.signalingUp) {
    const { title, hint } = describe(reason);
    // Retrying is pointless while a camera is known to be offline: its return starts the video.
    const canRetry =
      state.retryAt !== null || reason.kind === 'codec' || reason.kind === 'forbidden';
    return {
      phase: 'failed',
      title,
      detail: hint,
      progress: null,
      retryAt: state.retryAt,
      canRetry,
    };
  }
  return waitingView(state);
}

const PLAYING: View = {
  phase: 'playing',
  title: t('player.playing'),
  detail: '',
  progress: null,
  retryAt: null,
  canRetry: false,
};

function playingView({ camera }: ViewerState, session: Session): View {
  if (session.chosen?.picture === 'still') return stillView(session.chosen);
  // While frames arrive, a disconnected ICE state is not shown.
  if (!isStalled(session)) return PLAYING;
  const interrupted = { ...PLAYING, phase: 'interrupted' as const };
  if (session.iceDeadline !== null) {
    const detail = t('player.interrupted-detail');
    return { ...interrupted, title: t('player.interrupted'), detail };
  }
  const cameraLost = camera?.state === 'failed' || camera?.state === 'connecting';
  const title = cameraLost ? t('player.camera-stopped') : t('player.stopped');
  const detail = cameraLost ? t('player.camera-stopped-detail') : t('player.stopped-detail');
  return { ...interrupted, title, detail: camera?.reason ? sentence(camera.reason) : detail };
}

/** Returns the view while the gateway sends no pictures because the line carries none. */
function stillView({ reason }: ShownParams): View {
  const detail = t(reason === 'cap' ? 'player.slow-cap' : 'player.slow-path');
  return { ...PLAYING, phase: 'interrupted', title: t('player.slow'), detail };
}

/** Returns the view while a session is being replaced. */
function replacedView(previous: Session): View {
  if (!isStalled(previous)) return PLAYING;
  const detail = t('player.again-detail');
  return { ...PLAYING, phase: 'interrupted', title: t('player.interrupted'), detail };
}

const STEPS: Record<Stage, { title: string; detail: string; progress: number }> = {
  requesting: { title: t('player.requesting'), detail: '', progress: 0.2 },
  'awaiting-offer': { title: t('player.awaiting-offer'), detail: '', progress: 0.4 },
  answering: { title: t('player.answering'), detail: '', progress: 0.55 },
  checking: {
    title: t('player.checking'),
    detail: t('player.checking-detail'),
    progress: 0.7,
  },
  connected: { title: t('player.connected'), detail: '', progress: 0.9 },
  playing: { title: t('player.playing'), detail: '', progress: 1 },
};

function progressView(state: ViewerState, stage: Stage): View {
  const { camera, hasPlayed, reason } = state;
  const { title, detail, progress } = STEPS[stage];
  const first = stage === 'requesting' ? 'connecting' : 'negotiating';
  const again = hasPlayed || reason !== null;
  // The gateway answers once the camera has sent its first picture.
  const waits = stage === 'requesting' || stage === 'awaiting-offer' || stage === 'connected';
  const cameraIsSlow = waits && camera?.state === 'connecting';
  const problem = waits && camera?.reason ? sentence(camera.reason) : null;
  return {
    phase: again ? 'reconnecting' : first,
    title: problem ? t('player.picture') : cameraIsSlow ? t('player.camera') : title,
    detail:
      problem ?? (cameraIsSlow ? t('player.camera-detail') : reason ? oneLine(reason) : detail),
    progress,
    retryAt: null,
    canRetry: false,
  };
}

function waitingView({ signalingUp, hasPlayed }: ViewerState): View {
  return {
    phase: hasPlayed ? 'reconnecting' : 'connecting',
    title: signalingUp ? t('player.looking') : t('player.server'),
    detail: signalingUp ? '' : t('player.server-detail'),
    progress: 0.05,
    retryAt: null,
    canRetry: false,
  };
}
