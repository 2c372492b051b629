import { SluiceError } from "@sluice/client";

/** A person that a local installation offers for signing in. */
export interface Person {
  id: string;
  name: string;
  sub: string;
  tenant: string;
}

/** Who is signed in, and with which token. */
export interface Identity {
  token: string;
  /** RFC 3339; null when a pasted token does not tell. */
  expiresAt: string | null;
  sub: string;
  tenant: string;
  /** Set when the token came from local identity, which gives a newer one at any time. */
  person: string | null;
}

const KEY = "sluice.identity";

/** The people of a local installation; `null` when local identity is off. */
export async function fetchPeople(): Promise<Person[] | null> {
  const response = await reach("/local/people");
  const isJson = response.headers.get("content-type")?.includes("json") ?? false;
  if (response.status === 404 || (response.ok && !isJson)) {
    return null;
  }
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
  return { token: body.token, expiresAt: body.expires_at, sub: body.sub, tenant: body.tenant, person };
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
  const text = sessionStorage.getItem(KEY);
  if (!text) {
    return undefined;
  }
  const identity = JSON.parse(text) as Identity;
  const over = identity.expiresAt !== null && Date.parse(identity.expiresAt) <= now;
  return over && identity.person === null ? undefined : identity;
}

/** Keeps the identity for reloads of this tab, and nowhere else. */
export function storeIdentity(identity: Identity | undefined): void {
  if (identity) {
    sessionStorage.setItem(KEY, JSON.stringify(identity));
  } else {
    sessionStorage.removeItem(KEY);
  }
}
