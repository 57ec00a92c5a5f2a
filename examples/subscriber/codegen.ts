import type { CodegenConfig } from "@graphql-codegen/cli";

const config: CodegenConfig = {
  schema: "../../schema.graphql",
  documents: "src/changes.graphql",
  generates: {
    // The operation, with the types of its variables and answers. Made before each build, never checked in.
    "src/generated.ts": {
      plugins: ["typescript-operations", "typed-document-node"],
      config: {
        useTypeImports: true,
        scalars: { Cursor: "string", DateTime: "string", JSON: "unknown" },
      },
    },
  },
};

export default config;
