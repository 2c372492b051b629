import { SluiceError } from "@sluice/client";

/** A person that a local installation offers for signing in. */
export interface Person {
  id: string;
  name: string;
  sub: string;
  tenant: string;
}

/** How people sign in here, as the gateway tells before anybody has. */
export type SignInKind =
  | { kind: "local" }
  | {
      kind: "oidc";
      authority: string;
      client_id: string;
      scope: string;
      /** What the issuer wants to hear besides, such as `audience`. */
      parameters: Record<string, string>;
    }
  | { kind: "token" };

/** Who is signed in, and with which token. */
export interface Identity {
  token: string;
  /** RFC 3339; null when a pasted token does not tell. */
  expiresAt: string | null;
  sub: string;
  tenant: string;
  /** Where a mergeExport token comes from: local identity gives one at any time, an issuer while it remembers the person. */
  via: "local" | "oidc" | "token";
  /** The local person. */
  person: string | null;
}

const KEY = "sluice.identity";

/** How people sign in here. */
export async function fetchSignIn(): Promise<SignInKind> {
  const response = await reach("/config.json");
  if (!response.ok) {
    throw await SluiceError.fromResponse(response);
  }
  return ((await response.json()) as { identity: SignInKind }).identity;
}

/** The people of a local installation. */
export async function fetchPeople(): Promise<Person[]> {
  const response = await reach("/local/people");
  if (!response.ok) {
    throw await SluiceError.fromResponse(response);
  }
  return ((await response.json()) as { people: Person[] }).people;
}

/** Gets a fresh token for one of the local people. */
export async function signInLocally(person: string): Promise<Identity> {
  const response = await reach("/local/sign-in", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ person }),
  });
  if (!response.ok) {
    throw await SluiceError.fromResponse(response);
  }
  const body = (await response.json()) as { token: string; expires_at: string; sub: string; tenant: string };
  const { token, sub, tenant } = body;
  return { token, expiresAt: body.expires_at, sub, tenant, via: "local", person };
}

async function reach(path: string, init?: RequestInit): Promise<Response> {
  try {
    return await fetch(path, { ...init, cache: "no-store", signal: AbortSignal.timeout(15_000) });
  } catch (cause) {
    throw SluiceError.from(cause);
  }
}

/** The identity of this tab, if it has one that still holds. */
export function loadIdentity(now = Date.now()): Identity | undefined {
  const identity = parsed(sessionStorage.getItem(KEY));
  const over = identity?.expiresAt && Date.parse(identity.expiresAt) <= now;
  return over && identity.via === "token" ? undefined : identity;
}

/** Keeps the identity for reloads of this tab, and nowhere else. */
export function storeIdentity(identity: Identity | undefined): void {
  if (identity) {
    sessionStorage.setItem(KEY, JSON.stringify(identity));
  } else {
    sessionStorage.removeItem(KEY);
  }
}

/** What an older version of this page has kept may look different: then the person signs in again. */
function parsed(text: string | null): Identity | undefined {
  try {
    const value: unknown = JSON.parse(text ?? "null");
    return isIdentity(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isIdentity(value: unknown): value is Identity {
  const identity = value as Partial<Identity> | null;
  return typeof identity?.token === "string" && typeof identity.via === "string";
}
