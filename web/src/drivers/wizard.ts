/** Runs `core/wizard` on the REST interface and the signaling. */

import { LOCAL, type Outcome } from '../core/rpc';
import { seal, sealFile, WrongKey } from '../core/seal';
import * as machine from '../core/wizard';
import type { KnownLogin, ProbeEffect, Purpose } from '../core/wizard-contract';
import type { WizardEffect, WizardEvent, WizardState } from '../core/wizard-contract';
import type { FoundDevice, GatewayId, ImportEntry, ProbeParams } from '../protocol';
import type { ProbeProgress, ReadConfigurationParams } from '../protocol';
import type { ReadConfigurationResult, Sealed } from '../protocol';
import { api, ApiError } from './api';
import { Runner } from './runner';
import type { Signaling } from './signaling';

/** Length of a piece of a sealed file, as gateways take it (`signaling/proto/src/manage.rs`). */
const PIECE_CHARS = 12 * 1024;

export interface WizardListener {
  changed(state: WizardState): void;
  remember(logins: readonly KnownLogin[]): void;
}

export class Wizard {
  readonly #signaling: Signaling;
  readonly #listener: WizardListener;
  readonly #runner: Runner<WizardState, WizardEvent, WizardEffect>;
  /** Ends the search that runs. */
  #cancelSearch: () => void = () => undefined;
  /** The functions that end probes, by target. */
  readonly #cancelProbe = new Map<number, () => void>();

  constructor(
    purpose: Purpose,
    logins: readonly KnownLogin[],
    signaling: Signaling,
    listener: WizardListener,
  ) {
    this.#signaling = signaling;
    this.#listener = listener;
    this.#runner = new Runner(
      { step: machine.step, nextTimeout: machine.nextTimeout, timeout: { type: 'timeout' } },
      machine.initialState(purpose, logins),
      (effect) => this.#apply(effect),
      (state) => listener.changed(state),
    );
  }

  dispatch(event: WizardEvent): void {
    this.#runner.dispatch(event);
  }

  #apply(effect: WizardEffect): void {
    switch (effect.type) {
      case 'load-gateways':
        return void this.#loadGateways();
      case 'load-list':
        return void this.#loadList(effect.gateway);
      case 'discover':
        return this.#discover(effect);
      case 'cancel-search':
        return this.#cancelSearch();
      case 'read-file':
        return void this.#readFile(effect);
      case 'probe':
        return void this.#probe(effect);
      case 'cancel-probe':
        this.#cancelProbe.get(effect.target)?.();
        return void this.#cancelProbe.delete(effect.target);
      case 'add':
      case 'change':
        return void this.#store(effect);
      case 'remember':
        return this.#listener.remember(effect.logins);
    }
  }

  async #loadGateways(): Promise<void> {
    try {
      const { gateways } = await api.gateways();
      this.dispatch({ type: 'gateways', gateways });
    } catch (error) {
      const reached = error instanceof ApiError && error.status > 0;
      const number = reached ? error.status : LOCAL.OFFLINE;
      const message = error instanceof Error ? error.message : String(error);
      this.dispatch({ type: 'gateways-failed', fault: { code: number, message } });
    }
  }

  async #loadList(peer: GatewayId): Promise<void> {
    const outcome = await this.#signaling.request('portholeStoredCameras', { peer });
    this.dispatch({ type: 'list', outcome });
  }

  #discover({ search, gateway: peer, addresses }: EffectOf<'discover'>): void {
    this.#cancelSearch = this.#signaling.exchange(
      'portholeDiscover',
      { peer, ...(addresses.length > 0 ? { addresses: [...addresses] } : {}) },
      (value) => this.dispatch({ type: 'found', search, device: value as FoundDevice }),
      (outcome) => this.dispatch({ type: 'search-ended', search, outcome }),
    );
  }

  /** Seals a file, and sends it in pieces; the cameras come with the last one. */
  async #readFile({ file, gateway: peer, bytes }: EffectOf<'read-file'>): Promise<void> {
    const end = (outcome: EventOf<'file-read'>['outcome']) =>
      this.dispatch({ type: 'file-read', file, outcome });
    const key = await this.#signaling.request('portholeSealingKey', { peer });
    if (!key.ok) return end(key);
    let sealed: Sealed;
    try {
      sealed = await sealFile(key.result, peer, bytes);
    } catch (error) {
      if (!(error instanceof WrongKey)) console.debug('cannot seal', error);
      return end('wrong-key');
    }
    const pieces = Math.max(1, Math.ceil(sealed.ciphertext.length / PIECE_CHARS));
    for (let piece = 0; piece < pieces; piece += 1) {
      const at = piece * PIECE_CHARS;
      const ciphertext = sealed.ciphertext.slice(at, at + PIECE_CHARS);
      const params = { peer, sealed: { ...sealed, ciphertext }, piece, pieces };
      const outcome = await this.#sendPiece(file, params);
      if (!outcome.ok || piece + 1 === pieces) return end(outcome);
    }
  }

  #sendPiece(
    file: number,
    params: ReadConfigurationParams,
  ): Promise<Outcome<ReadConfigurationResult>> {
    return new Promise((resolve) => {
      this.#signaling.exchange(
        'portholeReadConfiguration',
        params,
        (value) => this.dispatch({ type: 'entry', file, entry: value as ImportEntry }),
        resolve,
      );
    });
  }

  async #probe(effect: ProbeEffect): Promise<void> {
    const { target, attempt, gateway: peer, address, allowsText, camera, vendor } = effect;
    const { imported } = effect;
    let isWanted = true;
    this.#cancelProbe.set(target, () => (isWanted = false));
    const login = await this.#seal(effect);
    if (login === null || !isWanted) return;
    const params: ProbeParams = {
      peer,
      address,
      allowsText,
      ...(login === undefined ? {} : { login }),
      ...(camera === null ? {} : { camera }),
      ...(imported === null ? {} : { import: imported }),
      ...(vendor === null ? {} : { vendor }),
    };
    const cancel = this.#signaling.exchange(
      'portholeProbe',
      params,
      (value) => {
        const progress = value as ProbeProgress;
        this.dispatch({ type: 'progress', target, attempt, progress });
      },
      (outcome) => this.dispatch({ type: 'probe-ended', target, attempt, outcome }),
    );
    this.#cancelProbe.set(target, cancel);
  }

  /** Seals the login of a probe, if it has one. Returns `null` if that failed, which it reports. */
  async #seal(effect: ProbeEffect): Promise<Sealed | null | undefined> {
    const { target, attempt, gateway, address, login, allowsText, camera } = effect;
    if (login === null) return undefined;
    const outcome = await this.#signaling.request('portholeSealingKey', { peer: gateway });
    if (!outcome.ok) {
      this.dispatch({ type: 'probe-ended', target, attempt, outcome });
      return null;
    }
    try {
      const use = { gateway, address, allowsText, camera: camera ?? undefined };
      return await seal(outcome.result, use, login);
    } catch (error) {
      if (!(error instanceof WrongKey)) console.debug('cannot seal', error);
      this.dispatch({ type: 'wrong-key', target, attempt });
      return null;
    }
  }

  async #store(effect: EffectOf<'add'> | EffectOf<'change'>): Promise<void> {
    const { gateway: peer, revision, provisional } = effect;
    const common = { peer, revision, provisional };
    const outcome =
      effect.type === 'add'
        ? await this.#signaling.request('portholeAddCamera', { ...common, name: effect.name })
        : await this.#signaling.request('portholeChangeCamera', {
            ...common,
            camera: effect.camera,
          });
    this.dispatch({ type: 'saved', outcome });
  }
}

type EventOf<T extends WizardEvent['type']> = Extract<WizardEvent, { type: T }>;
type EffectOf<T extends WizardEffect['type']> = Extract<WizardEffect, { type: T }>;
