import { defineConfig } from "vite";

// The page and the mirror look like one origin to the browser: no CORS, and no key in a URL.
const proxy = {
  "/graphql": { target: process.env.MIRROR_URL ?? "http://127.0.0.1:8080", ws: true },
};

export default defineConfig({
  server: { host: "127.0.0.1", proxy },
  preview: { host: "127.0.0.1", proxy },
});
