/** The sentences about the sound of a camera. */

export const SOUND_TEXT = {
  'sound.listen': 'Listen',
  'sound.to-mute': 'Turn the sound off',
  'sound.title': 'Sound',
  'sound.codec.pcma': 'G.711 A-law',
  'sound.codec.pcmu': 'G.711 µ-law',
  'sound.codec.opus': 'Opus',
  'sound.codec.aac': 'AAC',
  'shortcuts.sound': 'Sound on or off',
} as const;
