// What graphql-eslint holds against schema.graphql, run from the root of the repository. Every rule that it has for schemas
// is on, but for those below.

import graphql from "@graphql-eslint/eslint-plugin";

const [all, relay] = ["flat/schema-all", "flat/schema-relay"].map((name) => graphql.configs[name].rules);
const [severity, naming] = all["@graphql-eslint/naming-convention"];
const { "ObjectTypeDefinition,ObjectTypeExtension": _, ...otherNames } = naming;

export default [
  {
    files: ["schema.graphql"],
    languageOptions: {
      parser: graphql.parser,
      parserOptions: { graphQLConfig: { schema: "schema.graphql" } },
    },
    plugins: { "@graphql-eslint": { rules: graphql.rules } },
    rules: {
      ...all,
      ...relay,
      // Everything has a description: types, fields, arguments, values of enums.
      "@graphql-eslint/require-description": [
        "error",
        {
          types: true,
          rootField: true,
          DirectiveDefinition: true,
          FieldDefinition: true,
          InputValueDefinition: true,
          EnumValueDefinition: true,
          // The specification's own directives, as the library prints them.
          ignoredSelectors: ["[type=InputValueDefinition][parent.kind=DirectiveDefinition]"],
        },
      ],
      // A short list is a plain list, and a page may hold what has no id of its own. The log and what is for people
      // are read from one end only.
      "@graphql-eslint/relay-edge-types": [
        "error",
        { withEdgeSuffix: true, listTypeCanWrapOnlyEdgeType: false, shouldImplementNode: false },
      ],
      "@graphql-eslint/relay-arguments": ["error", { includeBoth: false }],
      // "Profile type" and "relationship type" are words of the field, not the kind of a definition.
      "@graphql-eslint/naming-convention": [severity, otherNames],
      // The file is printed by the service, which has its own order and writes short descriptions on one line.
      "@graphql-eslint/alphabetize": "off",
      "@graphql-eslint/description-style": "off",
      // Values inside of a record have no identity. What has one is a `Node`, and that has an id.
      "@graphql-eslint/strict-id-in-types": "off",
      // For services without mutations and subscriptions.
      "@graphql-eslint/no-root-type": "off",
      // A mutation of one or two plain arguments is easier to call without a wrapper; what may grow takes an `input`.
      "@graphql-eslint/input-name": "off",
      // A payload holds what changed; a page that needs more asks for it when it needs it.
      "@graphql-eslint/require-field-of-type-query-in-mutation-result": "off",
      // Null means "not for your role" or "not there", and nothing else: what is always there says so, at the root too.
      "@graphql-eslint/require-nullable-result-in-root": "off",
    },
  },
];
