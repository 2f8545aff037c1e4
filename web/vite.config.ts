import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

/** The Porthole that `npm run dev` passes API calls and WebSockets to. */
const SERVER = 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [svelte()],
  // A proxy may serve the dashboard below any path. The server leads the page's relative addresses
  // up to the root (`signaling/src/assets.rs`).
  base: './',
  build: {
    target: 'es2022',
    // The content security policy forbids inline data, and separate files can be cached.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: { '/api': SERVER, '/ws': { target: SERVER, ws: true } },
  },
  test: { include: ['src/**/*.test.ts'] },
});
