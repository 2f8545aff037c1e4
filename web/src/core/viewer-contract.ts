/** What goes into a viewer session, what it keeps, and what comes out. */

import type { Camera, CameraId, ConnectParams, ConnectResult, ExtendResult } from '../protocol';
import type { Fault, IceCandidate, IceServer, RequestId, SessionId } from '../protocol';
import type { Reason } from './reasons';
import type { Outcome } from './rpc';

export type Stage = 'asking' | 'waiting' | 'answering' | 'checking' | 'connected' | 'flowing';

export interface Link {
  readonly generation: number;
  readonly stage: Stage;
  readonly session: SessionId | null;
  /** When this stage has taken too long. */
  readonly deadline: number | null;
  readonly early: readonly Early[];
  readonly unsent: readonly IceCandidate[];
  readonly answered: boolean;
  /** When to give up on ICE; set while it is disconnected. */
  readonly iceGiveUpAt: number | null;
  readonly frames: number;
  readonly frameAt: number;
  readonly sampledAt: number;
  readonly flowingSince: number | null;
  readonly expiresAt: number | null;
  readonly extendAt: number | null;
  /** Set once the server does not know the session any more. */
  readonly replaceAt: number | null;
}

export type Early = Extract<ViewerEvent, { on: 'invite' | 'remote-candidate' }>;

export interface ViewerState {
  readonly cameraId: CameraId;
  readonly running: boolean;
  readonly signalUp: boolean;
  /** `undefined` before the first list, `null` when it is not in the list. */
  readonly camera: Camera | null | undefined;
  readonly link: Link | null;
  readonly previous: Link | null;
  readonly generation: number;
  readonly attempt: number;
  readonly retryAt: number | null;
  readonly reason: Reason | null;
  readonly played: boolean;
  readonly networkChangedAt: number | null;
}

export type ViewerEvent =
  | { readonly on: 'start' | 'stop' | 'retry' | 'tick' | 'network-changed' }
  | { readonly on: 'signal'; readonly up: boolean }
  | { readonly on: 'cameras'; readonly cameras: readonly Camera[] }
  | {
      readonly on: 'connect-settled';
      readonly generation: number;
      readonly outcome: Outcome<ConnectResult>;
    }
  | {
      readonly on: 'extend-settled';
      readonly generation: number;
      readonly outcome: Outcome<ExtendResult>;
    }
  | {
      readonly on: 'invite';
      readonly id: RequestId;
      readonly session: SessionId;
      readonly offer: string;
    }
  | {
      readonly on: 'remote-candidate';
      readonly session: SessionId;
      readonly candidate: IceCandidate;
    }
  | {
      readonly on: 'ice-servers';
      readonly session: SessionId;
      readonly iceServers: readonly IceServer[];
    }
  | { readonly on: 'closed'; readonly session: SessionId }
  | { readonly on: 'fault'; readonly fault: Fault }
  | {
      readonly on: 'answered';
      readonly generation: number;
      readonly id: RequestId;
      readonly answer: string;
    }
  | {
      readonly on: 'answer-failed';
      readonly generation: number;
      readonly id: RequestId;
      readonly message: string;
    }
  | {
      readonly on: 'local-candidate';
      readonly generation: number;
      readonly candidate: IceCandidate;
    }
  | {
      readonly on: 'ice';
      readonly generation: number;
      readonly state: 'connected' | 'disconnected' | 'failed';
    }
  | { readonly on: 'frames'; readonly generation: number; readonly decoded: number };

export type ViewerEffect =
  | { readonly do: 'connect'; readonly generation: number; readonly params: ConnectParams }
  | { readonly do: 'extend'; readonly generation: number; readonly session: SessionId }
  | {
      readonly do: 'open-peer';
      readonly generation: number;
      readonly iceServers: readonly IceServer[];
    }
  /** Instead of those it has, once ICE restarts. */
  | {
      readonly do: 'set-ice-servers';
      readonly generation: number;
      readonly iceServers: readonly IceServer[];
    }
  | {
      readonly do: 'answer';
      readonly generation: number;
      readonly id: RequestId;
      readonly offer: string;
    }
  | { readonly do: 'add-candidate'; readonly generation: number; readonly candidate: IceCandidate }
  | { readonly do: 'close-peer'; readonly generation: number }
  /** Put the picture of this link on the screen. */
  | { readonly do: 'show'; readonly generation: number }
  | { readonly do: 'reply'; readonly id: RequestId; readonly answer: string }
  | { readonly do: 'refuse'; readonly id: RequestId; readonly fault: Fault }
  | { readonly do: 'send-candidate'; readonly session: SessionId; readonly candidate: IceCandidate }
  | { readonly do: 'send-close'; readonly session: SessionId }
  | { readonly do: 'signed-out' };

/** What a peer connection, or an answer about it, tells of one link. */
export type PeerEvent = Exclude<
  Extract<ViewerEvent, { readonly generation: number }>,
  { readonly on: 'connect-settled' }
>;
