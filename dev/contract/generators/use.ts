// Uses the types of openapi-typescript as a caller would: what does not compile here, a caller could not write.
import type { components, operations } from "./wallex";

type Schemas = components["schemas"];

const credit: Schemas["CreditWalletRequest"] = { amount: 250, external_id: "psp-9041", metadata: { order: 4711 } };

const batch: Schemas["RunBatchRequest"] = {
  atomic: true,
  commands: [
    { type: "credit", wallet_id: "0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f", ...credit },
    { type: "release", hold_id: "0198c0e1-2b64-7d2e-9a41-5c6d7e8f9a0b" },
  ],
};

// @ts-expect-error a misspelled type is not a command
const misspelled: Schemas["BatchCommand"] = { type: "credits", wallet_id: "x", amount: 1 };

// The code determines which members a problem has, and every code is handled.
type Refused = operations["debitWallet"]["responses"][422]["content"]["application/problem+json"];

export function explain(problem: Refused): string {
  switch (problem.code) {
    case "insufficient_funds":
      return `${problem.wallet_id} has ${problem.available}`;
    case "validation_failed":
      return problem.errors.map((error) => error.detail).join();
    case "idempotency_key_reused":
      return problem.detail;
    default: {
      const forgotten: never = problem;
      return forgotten;
    }
  }
}

const status: Schemas["WalletStatus"] = "frozen";
// @ts-expect-error a closed set accepts no other value
const unknown: Schemas["WalletStatus"] = "frosty";

export const all = [batch, misspelled, status, unknown];
