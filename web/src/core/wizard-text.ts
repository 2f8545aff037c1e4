/** The titles of the wizard's steps. */

import { plural, t } from './text';
import type { Choice, WizardState, WizardStep } from './wizard-contract';

/** Returns the steps that are shown; choosing among one gateway is none. */
export function stepsOf({
  purpose,
  gateways,
  step,
  importing,
}: WizardState): readonly WizardStep[] {
  if (purpose.kind === 'change') return ['login', 'cameras', 'done'];
  const asksGateway = (gateways?.length ?? 0) > 1 || step === 'gateway';
  const first = importing?.result == null ? 'search' : 'import';
  const rest: readonly WizardStep[] = [first, 'login', 'cameras', 'done'];
  return asksGateway ? ['gateway', ...rest] : rest;
}

/** Returns the heading of the current step. */
export function titleOfStep(state: WizardState): string {
  const { purpose, step, gateways, gateway, targets } = state;
  switch (step) {
    case 'gateway':
      return (gateways?.length ?? 0) > 1 ? t('wizard.gateway.title') : t('wizard.title');
    case 'search': {
      const name = gateways?.find(({ id }) => id === gateway)?.name ?? '';
      return t('search.title', { gateway: name });
    }
    case 'import':
      return t('import.title', { program: state.importing?.result?.program ?? '' });
    case 'login': {
      if (purpose.kind === 'change') return t('wizard.change-title', { name: purpose.name });
      const count = targets.filter(({ phase }) => phase === 'login').length;
      return count > 1 ? t('login.title-all', { count }) : t('login.title');
    }
    case 'cameras':
      if (!state.savesOnceReady) return t('probe.title');
      return t('import.adding', { saved: savedOf(state).length, count: targets.length });
    case 'done':
      return doneTitle(state);
  }
}

function savedOf({ targets }: WizardState): readonly Choice[] {
  return targets.flatMap(({ choices }) => choices.filter(({ savedAs }) => savedAs !== null));
}

function doneTitle(state: WizardState): string {
  const { purpose } = state;
  if (purpose.kind === 'change') return t('done.changed', { name: purpose.name });
  const saved = savedOf(state);
  const [first] = saved;
  if (saved.length === 1 && first !== undefined) return t('done.title', { name: first.name });
  return plural('done.titles', saved.length);
}
