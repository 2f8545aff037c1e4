/** The state, events and effects of the machine in `wizard.ts`. */

import type { CameraId, ChangedResult, DiscoverResult, Fault, FoundDevice } from '../protocol';
import type { ImportChoice, ImportEntry, ReadConfigurationResult } from '../protocol';
import type { Gateway, GatewayId, Login, ProbedCamera, ProbedDevice } from '../protocol';
import type { ProbeFinding, ProbeProgress, ProbeResult, StoredCamerasResult } from '../protocol';
import type { Outcome } from './rpc';

/** The task: a new camera, or another address or password for one. */
export type Purpose =
  | { readonly kind: 'add' }
  | {
      readonly kind: 'change';
      readonly gateway: GatewayId;
      readonly camera: CameraId;
      readonly name: string;
      readonly address: string;
    };

export type WizardStep = 'gateway' | 'search' | 'import' | 'login' | 'cameras' | 'done';

/** The reason why a request failed: a fault, or a key that is not the gateway's. */
export type Problem = Fault | 'wrong-key';

/** A login that was typed for another device, offered for the next one. In memory only. */
export interface KnownLogin {
  /** The name of the device that it was typed for. */
  readonly name: string;
  readonly login: Login;
}

export interface Search {
  /** The number of the search; results of an earlier one are ignored. */
  readonly number: number;
  readonly running: boolean;
  readonly addresses: readonly string[];
  readonly devices: readonly FoundDevice[];
  readonly networks: readonly string[];
  readonly problem: Problem | null;
}

/** A file of another program, and the cameras in it. */
export interface Importing {
  /** The number of the file; what is heard of an earlier one is ignored. */
  readonly number: number;
  readonly name: string;
  readonly running: boolean;
  readonly entries: readonly ImportEntry[];
  /** The numbers of the cameras that are to be added. */
  readonly chosen: readonly number[];
  /** `null` until the gateway has read it. */
  readonly result: ReadConfigurationResult | null;
  readonly problem: Problem | 'too-long' | null;
}

/** A camera of a device that was probed. */
export interface Choice {
  readonly camera: ProbedCamera;
  /** The name that it will have. */
  readonly name: string;
  readonly wanted: boolean;
  /** The id of the camera, once the gateway has stored it. */
  readonly savedAs: CameraId | null;
}

/** A device that the person has chosen. */
export interface Target {
  readonly number: number;
  readonly address: string;
  /** The name to call it by. */
  readonly title: string;
  readonly vendor: string | null;
  /** The camera of a file whose login the gateway has, if it is one. */
  readonly imported: ImportChoice | null;
  readonly phase: 'login' | 'waiting' | 'probing' | 'done';
  /** The number of the probe; answers of an earlier one are ignored. */
  readonly attempt: number;
  readonly login: Login | null;
  readonly allowsText: boolean;
  /** True if the usual addresses of its vendor are tried. */
  readonly triesPaths: boolean;
  readonly device: ProbedDevice | null;
  readonly findings: readonly ProbeFinding[];
  readonly choices: readonly Choice[];
  readonly problem: Problem | null;
  /** The number of times that the device has refused a password, in all attempts. */
  readonly refused: number;
}

/** A device to be asked; without a phase it waits for its login. */
export type NewTarget = Pick<Target, 'address' | 'title' | 'vendor'> &
  Partial<Pick<Target, 'imported' | 'phase'>>;

export interface WizardState {
  readonly purpose: Purpose;
  readonly step: WizardStep;
  /** `null` before the first list. */
  readonly gateways: readonly Gateway[] | null;
  /** Time of the next request for the gateways, while none can be chosen. */
  readonly reloadAt: number | null;
  readonly gateway: GatewayId | null;
  /** The stored cameras of the gateway; `null` until known. */
  readonly list: StoredCamerasResult | null;
  readonly search: Search;
  /** The file that was chosen last. */
  readonly importing: Importing | null;
  readonly targets: readonly Target[];
  readonly nextTarget: number;
  readonly logins: readonly KnownLogin[];
  /** The provisional camera that is being stored. */
  readonly saving: CameraId | null;
  /** True if cameras are stored as soon as the list of stored ones has arrived. */
  readonly savesOnceListed: boolean;
  /** True if each camera is stored as soon as it has a picture. */
  readonly savesOnceReady: boolean;
  /** The reason why the last request for gateways, list or storing failed. */
  readonly problem: Problem | null;
}

export type WizardEvent =
  | { readonly type: 'start' }
  | { readonly type: 'timeout' }
  | { readonly type: 'stop' }
  | { readonly type: 'gateways'; readonly gateways: readonly Gateway[] }
  | { readonly type: 'gateways-failed'; readonly fault: Fault }
  | { readonly type: 'choose-gateway'; readonly gateway: GatewayId }
  | { readonly type: 'list'; readonly outcome: Outcome<StoredCamerasResult> }
  | { readonly type: 'search'; readonly addresses: readonly string[] }
  | { readonly type: 'stop-search' }
  | { readonly type: 'found'; readonly search: number; readonly device: FoundDevice }
  | {
      readonly type: 'search-ended';
      readonly search: number;
      readonly outcome: Outcome<DiscoverResult>;
    }
  | ImportEvent
  /** The person adds the cameras of the file that are ticked. */
  | { readonly type: 'add-imported' }
  /** The person has chosen devices of the search. */
  | { readonly type: 'choose'; readonly devices: readonly FoundDevice[] }
  /** The person has typed the address of a device, which may have carried a login. */
  | { readonly type: 'choose-address'; readonly address: string; readonly login: Login | null }
  /** The person has given the login for the devices that wait for one. */
  | {
      readonly type: 'sign-in';
      readonly login: Login | null;
      readonly allowsText: boolean;
      /** Another address, for the one device. */
      readonly address?: string;
    }
  | { readonly type: 'back' }
  /** The person types another login, or another address, for a device. */
  | { readonly type: 'login-again'; readonly target: number }
  /** The person looks for another address; the device is left out. */
  | { readonly type: 'address-again'; readonly target: number }
  | { readonly type: 'probe-again'; readonly target: number; readonly change?: ProbeChange }
  | { readonly type: 'drop'; readonly target: number }
  | {
      readonly type: 'progress';
      readonly target: number;
      readonly attempt: number;
      readonly progress: ProbeProgress;
    }
  | {
      readonly type: 'probe-ended';
      readonly target: number;
      readonly attempt: number;
      readonly outcome: Outcome<ProbeResult>;
    }
  /** The key to seal with is not the gateway's. */
  | { readonly type: 'wrong-key'; readonly target: number; readonly attempt: number }
  | { readonly type: 'rename'; readonly camera: CameraId; readonly name: string }
  | { readonly type: 'want'; readonly camera: CameraId; readonly wanted: boolean }
  | { readonly type: 'save' }
  | { readonly type: 'saved'; readonly outcome: Outcome<ChangedResult> }
  /** The person adds another camera. */
  | { readonly type: 'again' };

/** An event about a file of another program. */
export type ImportEvent =
  /** The person has chosen a file. */
  | { readonly type: 'file'; readonly name: string; readonly bytes: Uint8Array }
  | { readonly type: 'entry'; readonly file: number; readonly entry: ImportEntry }
  | {
      readonly type: 'file-read';
      readonly file: number;
      readonly outcome: Outcome<ReadConfigurationResult> | 'wrong-key';
    }
  | { readonly type: 'tick'; readonly entries: readonly number[]; readonly wanted: boolean };

/** The difference of the next probe of the same device. */
export type ProbeChange = 'allow-text' | 'try-paths';

export type WizardEffect =
  | { readonly type: 'load-gateways' }
  | { readonly type: 'load-list'; readonly gateway: GatewayId }
  | {
      readonly type: 'discover';
      readonly search: number;
      readonly gateway: GatewayId;
      readonly addresses: readonly string[];
    }
  | { readonly type: 'cancel-search' }
  | {
      readonly type: 'read-file';
      readonly file: number;
      readonly gateway: GatewayId;
      readonly bytes: Uint8Array;
    }
  | ProbeEffect
  | { readonly type: 'cancel-probe'; readonly target: number }
  | {
      readonly type: 'add';
      readonly gateway: GatewayId;
      readonly revision: number;
      readonly provisional: CameraId;
      readonly name: string;
    }
  | {
      readonly type: 'change';
      readonly gateway: GatewayId;
      readonly revision: number;
      readonly camera: CameraId;
      readonly provisional: CameraId;
    }
  /** Keeps the logins for the next visit of the page, in memory. */
  | { readonly type: 'remember'; readonly logins: readonly KnownLogin[] };

export interface ProbeEffect {
  readonly type: 'probe';
  readonly target: number;
  readonly attempt: number;
  readonly gateway: GatewayId;
  readonly address: string;
  readonly login: Login | null;
  readonly allowsText: boolean;
  readonly imported: ImportChoice | null;
  readonly camera: CameraId | null;
  readonly vendor: string | null;
}
