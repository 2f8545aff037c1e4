/**
 * The state machine that adds a camera, or gives one another address or password:
 * gateway → search → login → cameras → done.
 *
 * Several devices can be chosen at once; they get the same login, and are asked two at a time.
 */

import { code, type CameraId, type Fault, type FoundDevice, type Login } from '../protocol';
import type { Gateway, GatewayId, ProbedCamera, ProbeProgress, ProbeResult } from '../protocol';
import type { ChangedResult, DiscoverResult, StoredCamerasResult } from '../protocol';
import type { Env, Step } from './machine';
import type { Outcome } from './rpc';
import { update, type Context } from './wizard-context';
import type { Choice, KnownLogin, NewTarget, ProbeChange, Purpose } from './wizard-contract';
import type { Target, WizardEffect, WizardEvent, WizardState } from './wizard-contract';
import { handleImport, importedTargets } from './wizard-import';
import { rememberLogin, renameLogin } from './wizard-logins';

/** A gateway answers two probes at once. */
const MAX_PROBES = 2;
/** Time after which the gateways are asked for again, while none can be chosen. */
const RELOAD_MS = 2_000;
/** Bound of the devices shown; a search finds no more (`docs/ref/onvif.md`). */
const MAX_DEVICES = 256;
/** Bound of the devices that are chosen at once. */
const MAX_TARGETS = 256;
/** Bounds of what a probe may report; recorders have up to 64 cameras. */
const MAX_CHOICES = 64;
/** Longest name that a gateway takes. */
const MAX_NAME_CHARS = 64;
const MAX_FINDINGS = 256;
/** From this number of refusals on, one more action could lock an account that allows five. */
const RISKY_REFUSALS = 3;

type Result = Step<WizardState, WizardEffect>;

/** Returns the state of a wizard that has not started. */
export function initialState(purpose: Purpose, logins: readonly KnownLogin[]): WizardState {
  return {
    purpose,
    step: purpose.kind === 'add' ? 'gateway' : 'login',
    gateways: null,
    reloadAt: null,
    gateway: purpose.kind === 'add' ? null : purpose.gateway,
    list: null,
    search: { number: 0, running: false, addresses: [], devices: [], networks: [], problem: null },
    importing: null,
    targets: [],
    nextTarget: 1,
    logins,
    saving: null,
    savesOnceListed: false,
    savesOnceReady: false,
    problem: null,
  };
}

export function step(state: WizardState, event: WizardEvent, env: Env): Result {
  const ctx: Context = { state, effects: [], env };
  handle(ctx, event);
  return { state: ctx.state, effects: ctx.effects };
}

/** Returns the time of the next `timeout` event, or `null` if nothing is due. */
export function nextTimeout({ reloadAt }: WizardState): number | null {
  return reloadAt;
}

/** Returns true if the next refused password could lock the account at the device. */
export function mayLock({ refused }: Target): boolean {
  return refused >= RISKY_REFUSALS;
}

/** Returns true if a device has answered everything and has a camera to add. */
export function isReady({ phase, choices, findings }: Target): boolean {
  // A stream without a picture, such as an empty channel of a recorder, does not keep the others.
  const isHopeless = findings.some(({ failure, key }) => failure && key !== 'no-picture');
  return phase === 'done' && choices.some(hasPicture) && !isHopeless;
}

/** Returns true if one of the streams of a camera has a picture. */
export function hasPicture({ camera }: Choice): boolean {
  return camera.streams.some((stream) => stream.hasPicture);
}

/** Returns the cameras that "Add" stores, with the target that each belongs to. */
export function toSave({ targets }: WizardState): readonly Choice[] {
  return targets
    .filter(isReady)
    .flatMap(({ choices }) => choices)
    .filter((choice) => choice.wanted && choice.savedAs === null && hasPicture(choice));
}

/** Returns the streams to show: those that have a picture, of cameras that are not stored yet. */
export function previewsOf({ targets }: WizardState): readonly CameraId[] {
  return targets.flatMap((target) =>
    target.choices
      .filter(({ savedAs }) => savedAs === null)
      .flatMap(({ camera }) => camera.streams)
      .filter((stream) => stream.hasPicture)
      .map(({ id }) => id),
  );
}

function handle(ctx: Context, event: WizardEvent): void {
  switch (event.type) {
    case 'start':
      return start(ctx);
    case 'stop':
      return stop(ctx);
    case 'timeout':
    case 'gateways':
    case 'gateways-failed':
    case 'choose-gateway':
    case 'list':
      return handleGatewayEvent(ctx, event);
    case 'search':
    case 'stop-search':
    case 'found':
    case 'search-ended':
      return handleSearchEvent(ctx, event);
    case 'file':
    case 'entry':
    case 'file-read':
    case 'tick':
      return handleImport(ctx, event);
    case 'add-imported':
      return addImported(ctx);
    case 'choose':
      return choose(ctx, event.devices.map(deviceTarget));
    case 'choose-address':
      return handleTypedAddress(ctx, event.address, event.login);
    case 'sign-in':
      return signIn(ctx, event);
    case 'back':
      return back(ctx);
    case 'again':
      return again(ctx);
    case 'rename':
      return changeChoice(ctx, event.camera, { name: event.name });
    case 'want':
      return want(ctx, event.camera, event.wanted);
    case 'save':
      return save(ctx);
    case 'saved':
      return handleSaved(ctx, event.outcome);
    default:
      return handleTargetEvent(ctx, event);
  }
}

function start(ctx: Context): void {
  const { purpose } = ctx.state;
  if (purpose.kind === 'add') return void ctx.effects.push({ type: 'load-gateways' });
  const { gateway, name, address } = purpose;
  ctx.effects.push({ type: 'load-list', gateway });
  choose(ctx, [{ address, title: name, vendor: null }]);
}

function stop(ctx: Context): void {
  stopSearch(ctx);
  for (const { number } of ctx.state.targets) cancelProbe(ctx, number);
  update(ctx, { targets: [], reloadAt: null });
}

// The gateway.

type GatewayEvent = Extract<
  WizardEvent,
  { type: 'timeout' | 'gateways' | 'gateways-failed' | 'choose-gateway' | 'list' }
>;

function handleGatewayEvent(ctx: Context, event: GatewayEvent): void {
  switch (event.type) {
    case 'timeout':
      if (ctx.state.reloadAt === null || ctx.env.now < ctx.state.reloadAt) return;
      update(ctx, { reloadAt: null });
      return void ctx.effects.push({ type: 'load-gateways' });
    case 'gateways':
      return handleGateways(ctx, event.gateways);
    case 'gateways-failed':
      return update(ctx, { problem: event.fault, reloadAt: ctx.env.now + RELOAD_MS });
    case 'choose-gateway':
      return chooseGateway(ctx, event.gateway);
    case 'list':
      return handleList(ctx, event.outcome);
  }
}

function handleGateways(ctx: Context, gateways: readonly Gateway[]): void {
  const waits = ctx.state.step === 'gateway';
  const reloadAt = waits ? ctx.env.now + RELOAD_MS : null;
  update(ctx, { gateways, problem: null, reloadAt });
  const [only, ...others] = gateways;
  // There is nothing to choose with one gateway; one that is offline is waited for.
  if (waits && only?.online && others.length === 0) chooseGateway(ctx, only.id);
}

function chooseGateway(ctx: Context, gateway: GatewayId): void {
  update(ctx, { gateway, step: 'search', reloadAt: null, list: null, problem: null });
  ctx.effects.push({ type: 'load-list', gateway });
  search(ctx, []);
}

function handleList(ctx: Context, outcome: Outcome<StoredCamerasResult>): void {
  const { savesOnceListed } = ctx.state;
  update(ctx, { savesOnceListed: false });
  if (outcome.ok) {
    update(ctx, { list: outcome.result });
    return savesOnceListed ? save(ctx) : undefined;
  }
  // Without the list, cameras are found and checked all the same; storing asks for it again.
  if (ctx.state.problem === null) update(ctx, { problem: outcome.fault });
}

// The search.

type SearchEvent = Extract<
  WizardEvent,
  { type: 'search' | 'stop-search' | 'found' | 'search-ended' }
>;

function handleSearchEvent(ctx: Context, event: SearchEvent): void {
  const { search: current } = ctx.state;
  switch (event.type) {
    case 'search':
      return search(ctx, event.addresses);
    case 'stop-search':
      return stopSearch(ctx);
    case 'found':
      return event.search === current.number ? handleFound(ctx, event.device) : undefined;
    case 'search-ended':
      return event.search === current.number ? handleSearchEnd(ctx, event.outcome) : undefined;
  }
}

function search(ctx: Context, addresses: readonly string[]): void {
  const { gateway, search: before } = ctx.state;
  if (gateway === null) return;
  stopSearch(ctx);
  const number = before.number + 1;
  update(ctx, {
    problem: null,
    search: { number, running: true, addresses, devices: [], networks: [], problem: null },
  });
  ctx.effects.push({ type: 'discover', search: number, gateway, addresses });
}

function stopSearch(ctx: Context): void {
  const { search: current } = ctx.state;
  if (!current.running) return;
  update(ctx, { search: { ...current, running: false } });
  ctx.effects.push({ type: 'cancel-search' });
}

function handleFound(ctx: Context, device: FoundDevice): void {
  const { search: current } = ctx.state;
  const at = current.devices.findIndex(({ number }) => number === device.number);
  if (at < 0 && current.devices.length >= MAX_DEVICES) return;
  const devices = at < 0 ? [...current.devices, device] : current.devices.with(at, device);
  update(ctx, { search: { ...current, devices } });
}

function handleSearchEnd(ctx: Context, outcome: Outcome<DiscoverResult>): void {
  const ended = { ...ctx.state.search, running: false };
  if (!outcome.ok) return update(ctx, { search: { ...ended, problem: outcome.fault } });
  update(ctx, { search: { ...ended, networks: outcome.result.networks ?? [] } });
}

// The devices that were chosen, and their login.

/** Returns the name that a device is called by: its model, its own name, or its address. */
export function titleOf({ vendor, model, name, address }: FoundDevice): string {
  const made = [vendor, model].filter((part) => part !== undefined && part !== '').join(' ');
  return made || name || address;
}

function deviceTarget(device: FoundDevice): NewTarget {
  return { address: device.address, title: titleOf(device), vendor: device.vendor ?? null };
}

function choose(ctx: Context, chosen: readonly NewTarget[]): void {
  // A device that still waits for a login from before gives way to the new ones.
  for (const { number, phase } of ctx.state.targets) if (phase === 'login') drop(ctx, number);
  const { targets, nextTarget } = ctx.state;
  const added = chosen.slice(0, MAX_TARGETS - targets.length).map((one, index): Target => ({
    phase: 'login',
    imported: null,
    ...one,
    number: nextTarget + index,
    attempt: 0,
    login: null,
    allowsText: false,
    triesPaths: false,
    device: null,
    findings: [],
    choices: [],
    problem: null,
    refused: 0,
  }));
  const step = added.length > 0 ? 'login' : ctx.state.step;
  update(ctx, { step, targets: [...targets, ...added], nextTarget: nextTarget + added.length });
}

/** Asks the cameras of a file that are ticked; each is added as soon as it has a picture. */
function addImported(ctx: Context): void {
  const { importing } = ctx.state;
  if (importing === null) return;
  choose(ctx, importedTargets(importing));
  const { targets } = ctx.state;
  if (targets.length === 0) return;
  const asks = targets.some(({ phase }) => phase === 'login');
  update(ctx, { step: asks ? 'login' : 'cameras', savesOnceReady: true });
  startProbes(ctx);
}

function handleTypedAddress(ctx: Context, address: string, login: Login | null): void {
  choose(ctx, [{ address, title: address, vendor: null }]);
  if (login !== null) signIn(ctx, { type: 'sign-in', login, allowsText: false });
}

function signIn(ctx: Context, event: Extract<WizardEvent, { type: 'sign-in' }>): void {
  const { login, allowsText, address } = event;
  const targets = ctx.state.targets.map((target): Target => {
    if (target.phase !== 'login') return target;
    const moved = address === undefined ? {} : { address };
    return { ...target, ...moved, phase: 'waiting', login, allowsText };
  });
  update(ctx, { targets, step: 'cameras', problem: null });
  startProbes(ctx);
}

function back(ctx: Context): void {
  const { step: current, purpose, gateways, targets, importing } = ctx.state;
  if (current === 'import') return update(ctx, { step: 'search', importing: null });
  if (current === 'search' && (gateways?.length ?? 0) > 1) {
    stopSearch(ctx);
    update(ctx, { step: 'gateway', gateway: null, problem: null });
    return void ctx.effects.push({ type: 'load-gateways' });
  }
  if (current !== 'login' && current !== 'cameras') return;
  const isSaved = ({ savedAs }: Choice) => savedAs !== null;
  // A new search shows what has been added meanwhile.
  if (current === 'cameras' && targets.some(({ choices }) => choices.some(isSaved))) {
    return again(ctx);
  }
  for (const { number, phase, attempt } of targets) {
    // A device that was asked before keeps its result; the login was only to be typed again.
    if (phase === 'login' && attempt > 0) changeTarget(ctx, number, { phase: 'done' });
    else if (current === 'cameras' || phase === 'login') drop(ctx, number);
  }
  if (ctx.state.targets.length > 0) return update(ctx, { step: 'cameras' });
  if (purpose.kind === 'change') return start(ctx);
  const from = importing?.result != null ? 'import' : 'search';
  update(ctx, { step: from, problem: null, savesOnceReady: false });
}

function again(ctx: Context): void {
  for (const { number } of ctx.state.targets) cancelProbe(ctx, number);
  update(ctx, { targets: [], importing: null, savesOnceReady: false });
  const { gateway } = ctx.state;
  if (gateway !== null) chooseGateway(ctx, gateway);
}

// The probes.

/** Starts the probes of devices that wait, as many as may run at once. */
function startProbes(ctx: Context): void {
  const { gateway, purpose, targets } = ctx.state;
  if (gateway === null) return;
  const room = MAX_PROBES - targets.filter(({ phase }) => phase === 'probing').length;
  for (const target of targets.filter(({ phase }) => phase === 'waiting').slice(0, room)) {
    const attempt = target.attempt + 1;
    const { number, address, login, allowsText, triesPaths, vendor, imported } = target;
    const fresh = { device: null, findings: [], choices: [], problem: null };
    changeTarget(ctx, number, { phase: 'probing', attempt, ...fresh });
    ctx.effects.push({
      type: 'probe',
      target: number,
      attempt,
      gateway,
      address,
      login,
      allowsText,
      imported,
      camera: purpose.kind === 'change' ? purpose.camera : null,
      vendor: triesPaths ? (vendor ?? 'any') : null,
    });
  }
}

function changeTarget(ctx: Context, number: number, changes: Partial<Target>): void {
  const targets = ctx.state.targets.map((target) =>
    target.number === number ? { ...target, ...changes } : target,
  );
  update(ctx, { targets });
}

function cancelProbe(ctx: Context, number: number): void {
  const target = ctx.state.targets.find((one) => one.number === number);
  if (target?.phase === 'probing') ctx.effects.push({ type: 'cancel-probe', target: number });
}

function drop(ctx: Context, number: number): void {
  cancelProbe(ctx, number);
  update(ctx, { targets: ctx.state.targets.filter((target) => target.number !== number) });
}

type TargetEvent = Extract<WizardEvent, { readonly target: number }>;

function handleTargetEvent(ctx: Context, event: TargetEvent): void {
  const target = ctx.state.targets.find(({ number }) => number === event.target);
  if (target === undefined) return;
  if ('attempt' in event && (event.attempt !== target.attempt || target.phase !== 'probing'))
    return;
  switch (event.type) {
    case 'login-again':
      cancelProbe(ctx, target.number);
      changeTarget(ctx, target.number, { phase: 'login' });
      return update(ctx, { step: 'login' });
    case 'probe-again':
      return probeAgain(ctx, target, event.change);
    case 'address-again':
      return addressAgain(ctx, target);
    case 'drop':
      return handleDrop(ctx, target);
    case 'progress':
      return handleProgress(ctx, target, event.progress);
    case 'probe-ended':
      return handleProbeEnd(ctx, target, event.outcome);
    case 'wrong-key':
      changeTarget(ctx, target.number, { phase: 'done', login: null, problem: 'wrong-key' });
      return startProbes(ctx);
  }
}

function probeAgain(ctx: Context, target: Target, change: ProbeChange | undefined): void {
  cancelProbe(ctx, target.number);
  // The agreement is sealed with a password, and the one of a file is at the gateway.
  if (change === 'allow-text' && target.imported !== null && target.login === null) {
    changeTarget(ctx, target.number, { phase: 'login' });
    return update(ctx, { step: 'login' });
  }
  changeTarget(ctx, target.number, {
    phase: 'waiting',
    allowsText: target.allowsText || change === 'allow-text',
    triesPaths: target.triesPaths || change === 'try-paths',
  });
  startProbes(ctx);
}

/** Leads to where an address is typed: the search, or the login of a camera that is changed. */
function addressAgain(ctx: Context, target: Target): void {
  if (ctx.state.purpose.kind === 'change') {
    changeTarget(ctx, target.number, { phase: 'login' });
    return update(ctx, { step: 'login' });
  }
  handleDrop(ctx, target);
  update(ctx, { step: 'search' });
}

function handleDrop(ctx: Context, target: Target): void {
  drop(ctx, target.number);
  startProbes(ctx);
  if (ctx.state.targets.length === 0) back(ctx);
  else finish(ctx);
}

function handleProgress(ctx: Context, target: Target, progress: ProbeProgress): void {
  const { number, findings } = target;
  if ('device' in progress) changeTarget(ctx, number, { device: progress.device });
  else if ('finding' in progress && findings.length < MAX_FINDINGS) {
    changeTarget(ctx, number, { findings: [...findings, progress.finding] });
  } else if ('camera' in progress) {
    changeTarget(ctx, number, { choices: withCamera(ctx, target, progress.camera) });
  }
}

/** Returns the choices with a camera; one of the same id keeps what the person has decided. */
function withCamera(ctx: Context, target: Target, camera: ProbedCamera): Choice[] {
  const { choices, imported, title } = target;
  const at = choices.findIndex((choice) => choice.camera.id === camera.id);
  const known = choices[at];
  if (known !== undefined) return choices.with(at, { ...known, camera });
  if (choices.length >= MAX_CHOICES) return [...choices];
  // A change is for one camera: the first one of the device, until another one is chosen.
  const wanted = ctx.state.purpose.kind === 'add' || choices.length === 0;
  const ownName = choices.length === 0 ? title : `${title} ${choices.length + 1}`;
  const name = imported === null ? camera.name : ownName.slice(0, MAX_NAME_CHARS);
  return [...choices, { camera, name, wanted, savedAs: null }];
}

function handleProbeEnd(ctx: Context, target: Target, outcome: Outcome<ProbeResult>): void {
  const { number, refused } = target;
  if (outcome.ok) {
    const total = refused + (outcome.result.refused ?? 0);
    changeTarget(ctx, number, { phase: 'done', refused: total });
    rememberLogin(ctx, ctx.state.targets.filter(isReady), number);
  } else {
    changeTarget(ctx, number, { phase: 'done', problem: outcome.fault });
  }
  startProbes(ctx);
  if (ctx.state.savesOnceReady) save(ctx);
}

// Names, and storing.

function changeChoice(ctx: Context, camera: CameraId, changes: Partial<Choice>): void {
  const targets = ctx.state.targets.map((target) => ({
    ...target,
    choices: target.choices.map((choice) =>
      choice.camera.id === camera ? { ...choice, ...changes } : choice,
    ),
  }));
  update(ctx, { targets });
}

function want(ctx: Context, camera: CameraId, wanted: boolean): void {
  const { purpose, targets } = ctx.state;
  if (purpose.kind === 'change') {
    for (const { choices } of targets) {
      for (const choice of choices) changeChoice(ctx, choice.camera.id, { wanted: false });
    }
  }
  changeChoice(ctx, camera, { wanted });
}

/** Stores the next camera that is wanted; each change needs the revision of the one before. */
function save(ctx: Context): void {
  const { saving, list, gateway, purpose } = ctx.state;
  const [next] = toSave(ctx.state);
  if (saving !== null || gateway === null || next === undefined) return;
  if (list === null) {
    update(ctx, { problem: null, savesOnceListed: true });
    return void ctx.effects.push({ type: 'load-list', gateway });
  }
  const { id: provisional } = next.camera;
  const { revision } = list;
  update(ctx, { saving: provisional, problem: null });
  if (purpose.kind === 'change') {
    const { camera } = purpose;
    return void ctx.effects.push({ type: 'change', gateway, revision, camera, provisional });
  }
  const name = next.name.trim() || next.camera.name;
  ctx.effects.push({ type: 'add', gateway, revision, provisional, name });
}

function handleSaved(ctx: Context, outcome: Outcome<ChangedResult>): void {
  const { saving, list, gateway } = ctx.state;
  update(ctx, { saving: null });
  if (saving === null || gateway === null) return;
  if (!outcome.ok) return handleSaveFault(ctx, outcome.fault, gateway);
  const { camera, revision } = outcome.result;
  changeChoice(ctx, saving, { savedAs: camera });
  renameLogin(ctx, saving);
  if (list !== null) update(ctx, { list: { ...list, revision } });
  if (toSave(ctx.state).length > 0) return save(ctx);
  finish(ctx);
}

/** Goes to the last step if cameras were stored and nothing is left to do. */
function finish(ctx: Context): void {
  const { targets } = ctx.state;
  const isSaved = targets.some(({ choices }) => choices.some(({ savedAs }) => savedAs !== null));
  if (isSaved && targets.every(isReady) && toSave(ctx.state).length === 0) {
    update(ctx, { step: 'done' });
  }
}

function handleSaveFault(ctx: Context, fault: Fault, gateway: GatewayId): void {
  update(ctx, { problem: fault });
  // Somebody else was faster: the next attempt is made with the list as it is now.
  if (fault.code === code.CONFLICT) ctx.effects.push({ type: 'load-list', gateway });
}
