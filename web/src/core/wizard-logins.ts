/** The logins that devices have taken, which are offered for the next ones. */

import type { CameraId, Login } from '../protocol';
import { update, type Context } from './wizard-context';
import type { Choice, Target } from './wizard-contract';

/** Bound of the logins that are offered again. */
const MAX_LOGINS = 8;

/** Keeps a login that a device has taken, to be offered for the next one. */
export function rememberLogin(ctx: Context, ready: readonly Target[], number: number): void {
  const target = ready.find((one) => one.number === number);
  if (target === undefined || target.login === null) return;
  const { login, choices, title } = target;
  const name = choices.length === 1 ? (choices[0]?.name ?? title) : title;
  const others = ctx.state.logins.filter(({ login: other }) => !sameLogin(other, login));
  const logins = [{ name, login }, ...others].slice(0, MAX_LOGINS);
  update(ctx, { logins });
  ctx.effects.push({ type: 'remember', logins });
}

/** Calls the login of a camera that was stored by the name that the camera has now. */
export function renameLogin(ctx: Context, provisional: CameraId): void {
  const isSaved = ({ camera }: Choice) => camera.id === provisional;
  const target = ctx.state.targets.find(({ choices }) => choices.some(isSaved));
  const name = target?.choices.find(isSaved)?.name.trim();
  const login = target?.choices.length === 1 ? target.login : null;
  if (login === null || name === undefined || name === '') return;
  const logins = ctx.state.logins.map((one) =>
    sameLogin(one.login, login) ? { ...one, name } : one,
  );
  update(ctx, { logins });
  ctx.effects.push({ type: 'remember', logins });
}

function sameLogin(a: Login, b: Login): boolean {
  return a.user === b.user && a.password === b.password;
}
