import { describe, expect, test } from 'vitest';
import type { ProbeFinding } from '../protocol';
import { findingView, mayWantText, type Action } from './findings';

const finding = (key: string, values: ProbeFinding['values'] = {}): ProbeFinding => ({
  key,
  failure: false,
  text: 'the gateway says so',
  values,
});

type Case = [key: string, values: ProbeFinding['values'], start: string, action: Action | null];

test.each<Case>([
  ['nothing-answers', { host: '10.0.0.9' }, 'Nothing answers at 10.0.0.9.', 'address'],
  ['no-onvif', { host: '10.0.0.9' }, '10.0.0.9 is there but does not speak ONVIF.', 'vendor'],
  ['stopped-answering', {}, 'The camera has stopped answering.', 'retry'],
  ['endless-answer', {}, 'The device sends an answer without end', 'address'],
  ['redirects', { to: '10.0.0.8' }, 'The device sends us on to 10.0.0.8', 'address'],
  ['password-missing', {}, 'This camera wants a user and a password.', 'first-login'],
  ['wrong-password', { refused: '2', mayWantText: 'false' }, 'Wrong user or password.', 'login'],
  ['wrong-password', { mayWantText: 'true' }, 'The camera refuses this user', 'login'],
  ['account-locked', {}, 'The camera has locked this account.', 'retry'],
  ['wants-text', {}, 'The camera takes the password only as readable text', 'allow-text'],
  ['sent-text', {}, 'The password was sent as readable text', null],
  ['not-permitted', {}, 'This user may not read everything', null],
  ['clock-off', { seconds: '-15811200' }, 'The camera’s clock is 183 days behind.', null],
  ['clock-off', { seconds: '90' }, 'The camera’s clock is 90 seconds ahead.', null],
  ['clock-off', { seconds: '-600' }, 'The camera’s clock is 10 minutes behind.', null],
  ['clock-off', { seconds: '10800' }, 'The camera’s clock is 3 hours ahead.', null],
  ['clock-unset', {}, 'The camera’s clock was never set.', null],
  ['other-address', { named: 'a', used: 'b' }, 'The camera calls itself a; we use b', null],
  ['stream-elsewhere', { host: '10.0.0.7' }, 'A stream of the camera is at 10.0.0.7', null],
  ['no-video', {}, 'The camera has no stream with H.264 or H.265.', 'check'],
  ['no-h264', { camera: '2' }, 'Camera 2 has no H.264 stream', 'check'],
  ['picture-without-onvif', {}, 'The picture works without ONVIF.', null],
  ['rtsp-off', {}, 'The camera is there but RTSP is switched off.', 'check'],
  ['separate-user', {}, 'This camera has separate users', 'login'],
  [
    'no-picture',
    { stream: 'main 1', reason: 'no answer' },
    'No picture from the full-resolution stream of camera 1: no answer.',
    'retry',
  ],
  [
    'far-key-frames',
    { stream: 'main 1', seconds: '10' },
    'Key frames of the full-resolution stream of camera 1 are 10 s',
    'check',
  ],
  [
    'far-key-frames',
    { stream: 'sub 2' },
    'Key frames of the low-resolution stream of camera 2 are more',
    'check',
  ],
  ['b-pictures', { stream: 'extra' }, 'The stream extra has B pictures', 'check'],
])('%s with %o is said in our words', (key, values, start, action) => {
  const view = findingView(finding(key, values));
  expect(view.sentence).toMatch(/[.]$/);
  expect(view.sentence.startsWith(start), view.sentence).toBe(true);
  expect(view.sentence).not.toMatch(/[{}]|undefined|NaN/);
  expect(view.action).toBe(action);
});

describe('the words of the gateway are used', () => {
  test.each([
    ['for a key that is not known', finding('from-the-future')],
    ['if a value is missing', finding('nothing-answers')],
    ['if a value is no number', finding('clock-off', { seconds: 'many' })],
  ])('%s', (_, unknown) => {
    expect(findingView(unknown).sentence).toBe('The gateway says so.');
  });
});

test('a failure that is not known can be tried again', () => {
  expect(findingView({ ...finding('x'), failure: true })).toMatchObject({ action: 'retry' });
});

test.each([
  [finding('wants-text'), true],
  [finding('wrong-password', { mayWantText: 'true' }), true],
  [finding('wrong-password', { mayWantText: 'false' }), false],
  [finding('account-locked'), false],
])('%o may want text: %s', (one, expected) => {
  expect(mayWantText(one)).toBe(expected);
});
