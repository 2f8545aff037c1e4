/** The state and effects of one step of the machine in `wizard.ts`. */

import type { Env } from './machine';
import type { WizardEffect, WizardState } from './wizard-contract';

export interface Context {
  state: WizardState;
  readonly effects: WizardEffect[];
  readonly env: Env;
}

export function update(ctx: Context, changes: Partial<WizardState>): void {
  ctx.state = { ...ctx.state, ...changes };
}
