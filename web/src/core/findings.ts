/**
 * The findings of a probe as the dashboard shows them: an icon, one sentence, and one action.
 * `docs/ref/onvif.md` lists the keys and their values.
 */

import type { ProbeFinding } from '../protocol';
import { sentence } from './reasons';
import { fill, plural, t, TEXT, type Key } from './text';

/** Reactions that a person may choose. */
export type Action =
  'retry' | 'check' | 'login' | 'first-login' | 'address' | 'allow-text' | 'vendor';

export type FindingIcon =
  'unplugged' | 'question' | 'stop' | 'lock' | 'text' | 'clock' | 'network' | 'film' | 'info';

export interface FindingView {
  readonly key: string;
  /** True if there is no picture because of it. */
  readonly failure: boolean;
  readonly icon: FindingIcon;
  readonly sentence: string;
  readonly action: Action | null;
}

interface Row {
  readonly icon: FindingIcon;
  readonly action: Action | null;
}

const row = (icon: FindingIcon, action: Action | null = null): Row => ({ icon, action });

/** The keys that the dashboard has a sentence for. */
const ROWS: ReadonlyMap<string, Row> = new Map([
  ['nothing-answers', row('unplugged', 'address')],
  ['no-onvif', row('question', 'vendor')],
  ['stopped-answering', row('unplugged', 'retry')],
  ['endless-answer', row('stop', 'address')],
  ['redirects', row('stop', 'address')],
  ['password-missing', row('lock', 'first-login')],
  ['wrong-password', row('lock', 'login')],
  ['account-locked', row('lock', 'retry')],
  ['wants-text', row('text', 'allow-text')],
  ['sent-text', row('text')],
  ['not-permitted', row('info')],
  ['clock-off', row('clock')],
  ['clock-unset', row('clock')],
  ['other-address', row('network')],
  ['stream-elsewhere', row('network')],
  ['no-video', row('film', 'check')],
  ['no-h264', row('film', 'check')],
  ['no-sub-stream', row('film', 'check')],
  ['picture-without-onvif', row('info')],
  ['rtsp-off', row('unplugged', 'check')],
  ['separate-user', row('lock', 'login')],
  ['no-picture', row('film', 'retry')],
  ['far-key-frames', row('film', 'check')],
  ['b-pictures', row('film', 'check')],
]);

/** Returns the finding as it is shown; one that is not known has the gateway's own sentence. */
export function findingView(finding: ProbeFinding): FindingView {
  const { key, failure, text, values } = finding;
  const unknown = row(failure ? 'stop' : 'info', failure ? 'retry' : null);
  const { icon, action } = ROWS.get(key) ?? unknown;
  const own = ROWS.has(key) ? ownSentence(key, values) : null;
  return { key, failure, icon, action, sentence: own ?? sentence(text) };
}

/** Returns true if the finding says that the camera may take the password as text only. */
export function mayWantText({ key, values }: ProbeFinding): boolean {
  return key === 'wants-text' || (key === 'wrong-password' && values.mayWantText === 'true');
}

/** Returns our sentence, or `null` if a value of it is missing. */
function ownSentence(key: string, values: ProbeFinding['values']): string | null {
  const sentenceKey = sentenceKeyOf(key, values);
  const known = { ...values, ...derived(key, values) };
  const filled = sentenceKey === null ? null : fill(TEXT[sentenceKey], known);
  return filled === null || /\{[a-zA-Z]+\}/.test(filled) ? null : filled;
}

function sentenceKeyOf(key: string, values: ProbeFinding['values']): Key | null {
  if (key === 'wrong-password' && values.mayWantText === 'true') {
    return 'finding.wrong-password-or-text';
  }
  if (key === 'clock-off') {
    if (!isSeconds(values.seconds)) return null;
    return Number(values.seconds) < 0 ? 'finding.clock-behind' : 'finding.clock-ahead';
  }
  if (key === 'far-key-frames' && values.seconds === undefined) {
    return 'finding.very-far-key-frames';
  }
  const own = `finding.${key}`;
  return own in TEXT ? (own as Key) : null;
}

/** Returns the values that are written in other words than they come. */
function derived(key: string, values: ProbeFinding['values']): Record<string, string> {
  if (key === 'clock-off') return { span: span(Math.abs(Number(values.seconds))) };
  if (key === 'no-picture' && values.reason !== undefined) {
    return { reason: ended(values.reason), ...named(values) };
  }
  return named(values);
}

/** Returns the stream as the pictures of the page call it; the gateway says such as `main 1`. */
function named({ stream }: ProbeFinding['values']): Record<string, string> {
  if (stream === undefined) return {};
  const [, role, camera = ''] = /^(main|sub) (\d+)$/.exec(stream) ?? [];
  if (role === undefined) return { stream: t('stream.unknown', { stream }) };
  return { stream: t(role === 'main' ? 'stream.main' : 'stream.sub', { camera }) };
}

function isSeconds(text: string | undefined): boolean {
  return text !== undefined && /^-?\d{1,15}$/.test(text);
}

/** Returns the text with a full stop, but without a capital letter: it is inside of a sentence. */
function ended(text: string): string {
  return sentence(`.${text}`).slice(1);
}

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Writes a span of time in its largest unit, of which there are at least two. */
function span(seconds: number): string {
  if (seconds < 2 * MINUTE) return plural('span.seconds', seconds);
  if (seconds < 2 * HOUR) return plural('span.minutes', Math.floor(seconds / MINUTE));
  if (seconds < 2 * DAY) return plural('span.hours', Math.floor(seconds / HOUR));
  return plural('span.days', Math.floor(seconds / DAY));
}
