/** What the player shows of a viewer session: one phase, one title, one line below it. */

import { briefly, sentence, wordsOf } from './reasons';
import type { Link, Stage, ViewerState } from './viewer-contract';
import { isStalled } from './viewer-session';

export type Phase =
  'connecting' | 'negotiating' | 'playing' | 'interrupted' | 'reconnecting' | 'failed';

export interface View {
  readonly phase: Phase;
  readonly title: string;
  readonly detail: string;
  /** How far a connection has come, from 0 to 1; `null` when none is being made. */
  readonly progress: number | null;
  readonly retryAt: number | null;
  /** A person can do something: try again now. */
  readonly canRetry: boolean;
}

export function viewOf(state: ViewerState): View {
  const { link, previous, reason } = state;
  if (previous !== null) return PLAYING;
  if (link !== null && link.stage === 'flowing') return flowingView(state, link);
  if (link !== null) return progressView(state, link.stage);
  if (reason !== null && state.signalUp) {
    const { title, hint } = wordsOf(reason);
    // A camera known to be offline is waited for: asking again would change nothing.
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
  title: 'Playing',
  detail: '',
  progress: null,
  retryAt: null,
  canRetry: false,
};

function flowingView({ camera }: ViewerState, link: Link): View {
  const interrupted = { ...PLAYING, phase: 'interrupted' as const };
  if (isStalled(link) && link.iceGiveUpAt !== null) {
    const detail = 'Waiting for the gateway to find another way.';
    return { ...interrupted, title: 'The connection is interrupted', detail };
  }
  if (isStalled(link)) {
    const broken = camera?.state === 'failed' || camera?.state === 'connecting';
    const title = broken ? 'The camera stopped sending' : 'The picture has stopped';
    const detail = camera?.reason
      ? sentence(camera.reason)
      : broken
        ? 'The gateway is connecting to it again.'
        : 'Waiting for it to go on.';
    return { ...interrupted, title, detail };
  }
  // Frames still arrive while ICE is only in doubt.
  return PLAYING;
}

const STEPS: Record<Stage, { title: string; detail: string; progress: number }> = {
  asking: { title: 'Calling the gateway', detail: '', progress: 0.2 },
  waiting: { title: 'Waiting for the gateway', detail: 'It prepares the video.', progress: 0.4 },
  answering: { title: 'Agreeing on the video', detail: '', progress: 0.55 },
  checking: {
    title: 'Finding a way through',
    detail: 'Trying every path to the gateway at once.',
    progress: 0.7,
  },
  connected: { title: 'Waiting for the picture', detail: 'The way is found.', progress: 0.9 },
  flowing: { title: 'Playing', detail: '', progress: 1 },
};

function progressView(state: ViewerState, stage: Stage): View {
  const { camera, played, reason } = state;
  const { title, detail, progress } = STEPS[stage];
  const first = stage === 'asking' ? 'connecting' : 'negotiating';
  const again = played || reason !== null;
  const slow = camera?.state === 'connecting' && (stage === 'waiting' || stage === 'connected');
  return {
    phase: again ? 'reconnecting' : first,
    title: slow ? 'Waiting for the camera' : title,
    detail: slow ? 'The gateway is connecting to it.' : reason ? briefly(reason) : detail,
    progress,
    retryAt: null,
    canRetry: false,
  };
}

function waitingView({ signalUp, played }: ViewerState): View {
  return {
    phase: played ? 'reconnecting' : 'connecting',
    title: signalUp ? 'Looking for the camera' : 'Connecting to the server',
    detail: signalUp ? '' : 'The picture starts by itself when it is there.',
    progress: 0.05,
    retryAt: null,
    canRetry: false,
  };
}
