import { expect, test } from 'vitest';
import type { Camera, ShownParams } from '../protocol';
import { chosenNotice, chosenText, lacksSubStream } from './chosen';

const session = 's1';

test.each<[string, Omit<ShownParams, 'session'>, string, boolean]>([
  ['all', { picture: 'main' }, 'Full resolution', false],
  [
    'a slow line',
    { picture: 'sub', reason: 'path', kbitPerS: 950 },
    'Low resolution: your connection carries 950 kbit/s',
    true,
  ],
  [
    'an unknown rate',
    { picture: 'keyFrames', reason: 'path' },
    'A picture every few seconds: your connection carries no more',
    true,
  ],
  [
    'a cap',
    { picture: 'sub', reason: 'cap', kbitPerS: 800 },
    'Low resolution: 800 kbit/s of what may be sent are left for you',
    true,
  ],
  [
    'the limit of a link',
    { picture: 'sub', reason: 'limit', kbitPerS: 1000 },
    'Low resolution: the limit of this link leaves 1.0 Mbit/s for you',
    true,
  ],
  [
    'the limit of a link, which leaves nothing',
    { picture: 'still', reason: 'limit' },
    'The last picture: the limit of this link allows no more',
    false,
  ],
  [
    'nothing',
    { picture: 'still', reason: 'path', kbitPerS: 40 },
    'The last picture: your connection carries 40 kbit/s',
    false,
  ],
])('what is chosen is told with its reason: %s', (_, shown, expected, hasNotice) => {
  expect(chosenText({ session, ...shown })).toBe(expected);
  expect(chosenNotice({ session, ...shown })).toBe(hasNotice ? expected : null);
});

test('there is no notice without a choice', () => {
  expect(chosenNotice(null)).toBeNull();
});

const path = { reason: 'path' } as const;
const sub: Camera['streams'] = [{ id: 'door-sub', role: 'sub', state: 'live' }];

test.each<[string, Omit<ShownParams, 'session'> | null, Camera['streams'], boolean]>([
  ['key frames of the only stream', { picture: 'keyFrames', ...path }, undefined, true],
  ['the last picture of the only stream', { picture: 'still', ...path }, [], true],
  ['key frames because of a cap', { picture: 'keyFrames', reason: 'cap' }, [], true],
  ['key frames of the sub stream', { picture: 'keyFrames', ...path }, sub, false],
  ['the sub stream', { picture: 'sub', ...path }, sub, false],
  ['all of it', { picture: 'main' }, [], false],
  ['a picture that stands for another reason', { picture: 'still' }, [], false],
  ['nothing that is known', null, [], false],
])('a sub stream is missed where it would help: %s', (_, shown, streams, expected) => {
  const camera = { streams } as Camera;
  expect(lacksSubStream(shown === null ? null : { session, ...shown }, camera)).toBe(expected);
});
