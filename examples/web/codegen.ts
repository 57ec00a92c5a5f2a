import type { CodegenConfig } from "@graphql-codegen/cli";

const config: CodegenConfig = {
  schema: "../../schema.graphql",
  documents: "src/operations.graphql",
  generates: {
    // The operations, with the types of their variables and answers. Made before each build, never checked in.
    "src/generated.ts": {
      plugins: ["typescript-operations", "typed-document-node"],
      config: {
        useTypeImports: true,
        scalars: { Cursor: "string", DateTime: "string", JSON: "unknown" },
      },
    },
    // What Apollo's cache must know of interfaces and unions.
    "src/possible-types.json": {
      plugins: ["fragment-matcher"],
      config: { apolloClientVersion: 3 },
    },
  },
};

export default config;
