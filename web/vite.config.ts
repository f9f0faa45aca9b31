import { defineConfig } from "vite";

export default defineConfig({
  // What the server puts a fresh value for into every answer.
  html: { cspNonce: "__NONCE__" },
  resolve: { conditions: ["browser", "module", "import", "default"] },
  build: {
    target: "es2022",
    outDir: "dist/site",
    emptyOutDir: true,
    // All browsers that the rest needs know modulepreload.
    modulePreload: { polyfill: false },
    // Everything has an address of its own: the policy lets no data: URL be code or font.
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    // The terminal is one piece of half a MiB; scripts/first-load.mjs has the bound that counts.
    chunkSizeWarningLimit: 600,
  },
});
