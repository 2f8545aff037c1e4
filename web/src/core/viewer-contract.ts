/** The state, events and effects of the machine in `viewer-session.ts`. */

import type { Camera, CameraAddress, CameraId } from '../protocol';
import type { ConnectParams, ConnectResult, ExtendResult } from '../protocol';
import type { Fault, IceCandidate, IceServer, RequestId, SessionId } from '../protocol';
import type { ShownParams } from '../protocol';
import type { Reason } from './reasons';
import type { Outcome } from './rpc';

export type Stage =
  'requesting' | 'awaiting-offer' | 'answering' | 'checking' | 'connected' | 'playing';

/** Times at which stages were reached, in milliseconds of `Env.now`. */
export type Reached = Readonly<Partial<Record<Stage, number>>>;

/** One session with the gateway. All times are milliseconds of `Env.now`. */
export interface Session {
  /** Local number of the session, known before the server assigns its id. */
  readonly generation: number;
  readonly stage: Stage;
  readonly reached: Reached;
  readonly id: SessionId | null;
  /** End of the time allowed for this stage. */
  readonly deadline: number | null;
  /** Messages of the gateway that arrived before the response to `connect`. */
  readonly early: readonly EarlyEvent[];
  /** Local candidates gathered before the answer was sent. */
  readonly pendingCandidates: readonly IceCandidate[];
  readonly answered: boolean;
  /** True if the gateway has offered sound. */
  readonly hasSound: boolean;
  /** Time at which the ICE connection is given up; set while it is disconnected. */
  readonly iceDeadline: number | null;
  readonly framesDecoded: number;
  readonly lastFrameAt: number;
  readonly lastSampleAt: number;
  /** Time since which nothing has arrived on the path; `null` if something arrives. */
  readonly silentSince: number | null;
  /** Time before which silence is no reason for another session. */
  readonly rescueAfter: number;
  readonly playingSince: number | null;
  /** The picture that the gateway has chosen; `null` for the stream that was asked for. */
  readonly chosen: ShownParams | null;
  readonly expiresAt: number | null;
  readonly extendAt: number | null;
  /** Time of the replacement; set once the server no longer knows the session. */
  readonly replaceAt: number | null;
}

export type EarlyEvent = Extract<ViewerEvent, { type: 'invite' | 'remote-candidate' }>;

export interface ViewerState {
  readonly address: CameraAddress;
  /** True if the sessions are to carry sound, where there is some. */
  readonly withSound: boolean;
  readonly running: boolean;
  readonly signalingUp: boolean;
  /** `undefined` before the first list of cameras, `null` if the list does not contain it. */
  readonly camera: Camera | null | undefined;
  /** The stream to watch in place of the camera's, because the browser cannot play that one. */
  readonly fallback: CameraId | null;
  readonly session: Session | null;
  /** The session whose video is shown until `session` has one; `null` unless it is replaced. */
  readonly previous: Session | null;
  readonly generation: number;
  /** Number of failures since the video last played steadily. */
  readonly attempt: number;
  readonly retryAt: number | null;
  /** Reason of the last failure, until there is video again. */
  readonly reason: Reason | null;
  readonly hasPlayed: boolean;
  readonly networkChangedAt: number | null;
}

export type ViewerEvent =
  | { readonly type: 'start' | 'stop' | 'retry' | 'timeout' | 'network-changed' }
  /** The wish of somebody to hear the camera. */
  | { readonly type: 'listen' }
  | { readonly type: 'signaling'; readonly up: boolean }
  | { readonly type: 'cameras'; readonly cameras: readonly Camera[] }
  | {
      readonly type: 'connect-result';
      readonly generation: number;
      readonly outcome: Outcome<ConnectResult>;
    }
  | {
      readonly type: 'extend-result';
      readonly generation: number;
      readonly outcome: Outcome<ExtendResult>;
    }
  | {
      readonly type: 'invite';
      readonly id: RequestId;
      readonly session: SessionId;
      readonly offer: string;
    }
  | {
      readonly type: 'remote-candidate';
      readonly session: SessionId;
      readonly candidate: IceCandidate;
    }
  | {
      readonly type: 'ice-servers';
      readonly session: SessionId;
      readonly iceServers: readonly IceServer[];
    }
  | { readonly type: 'shown'; readonly shown: ShownParams }
  | { readonly type: 'closed'; readonly session: SessionId }
  | { readonly type: 'fault'; readonly fault: Fault }
  | {
      readonly type: 'answered';
      readonly generation: number;
      readonly id: RequestId;
      readonly answer: string;
    }
  | {
      readonly type: 'answer-failed';
      readonly generation: number;
      readonly id: RequestId;
      readonly message: string;
    }
  | {
      readonly type: 'local-candidate';
      readonly generation: number;
      readonly candidate: IceCandidate;
    }
  | {
      readonly type: 'ice';
      readonly generation: number;
      readonly state: 'connected' | 'disconnected' | 'failed';
    }
  | {
      readonly type: 'frames';
      readonly generation: number;
      readonly decoded: number;
      /** Time since the last packet of any kind; `null` if the browser does not tell it. */
      readonly silentMs: number | null;
    };

export type ViewerEffect =
  | { readonly type: 'connect'; readonly generation: number; readonly params: ConnectParams }
  | { readonly type: 'extend'; readonly generation: number; readonly session: SessionId }
  | {
      readonly type: 'open-peer';
      readonly generation: number;
      readonly iceServers: readonly IceServer[];
    }
  /** Replaces the ICE servers; they are used from the next ICE restart on. */
  | {
      readonly type: 'set-ice-servers';
      readonly generation: number;
      readonly iceServers: readonly IceServer[];
    }
  | {
      readonly type: 'answer';
      readonly generation: number;
      readonly id: RequestId;
      readonly offer: string;
    }
  | {
      readonly type: 'add-candidate';
      readonly generation: number;
      readonly candidate: IceCandidate;
    }
  | { readonly type: 'close-peer'; readonly generation: number }
  /** Shows the video of this session. */
  | { readonly type: 'show'; readonly generation: number }
  | { readonly type: 'send-answer'; readonly id: RequestId; readonly answer: string }
  | { readonly type: 'send-error'; readonly id: RequestId; readonly fault: Fault }
  | {
      readonly type: 'send-candidate';
      readonly session: SessionId;
      readonly candidate: IceCandidate;
    }
  | { readonly type: 'send-close'; readonly session: SessionId }
  /** Asks the server for a sign of life: the network may have changed. */
  | { readonly type: 'doubt-server'; readonly withinMs: number }
  | { readonly type: 'signed-out' };

/** Events of one session after `connect`: of its peer connection, or the result of `extend`. */
export type SessionEvent = Exclude<
  Extract<ViewerEvent, { readonly generation: number }>,
  { readonly type: 'connect-result' }
>;
