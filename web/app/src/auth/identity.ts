import { SluiceError } from "@sluice/client";
import { browserKey, forgetBrowserKey } from "./browserKey.js";

/** A user that a local installation offers for sign-in. */
export interface LocalUser {
  id: string;
  name: string;
  sub: string;
  tenant: string;
}

/** The sign-in method of this installation, from `/config.json`. */
export type SignInKind =
  | {
      kind: "local";
      /** Whether this browser must have opened a sign-in link. */
      link_required: boolean;
    }
  | {
      kind: "oidc";
      authority: string;
      client_id: string;
      scope: string;
      /** Additional parameters for the issuer, such as `audience`. */
      parameters: Record<string, string>;
    }
  | { kind: "token" };

/** The signed-in user and the token. */
export interface Identity {
  token: string;
  /** Expiry (RFC 3339); null for a pasted token. */
  expiresAt: string | null;
  sub: string;
  tenant: string;
  /** Sign-in method, which decides how the token is refreshed. */
  via: "local" | "oidc" | "token";
  /** Id of the local user; null for other methods. */
  localUser: string | null;
}

const KEY = "sluice.identity";

/** Fetches the sign-in method of this installation. */
export async function fetchSignIn(): Promise<SignInKind> {
  const response = await request("/config.json");
  if (!response.ok) {
    throw await SluiceError.fromResponse(response);
  }
  return ((await response.json()) as { identity: SignInKind }).identity;
}

/** Fetches the users of a local installation. */
export async function fetchLocalUsers(): Promise<LocalUser[]> {
  const response = await request("/local/people");
  if (!response.ok) {
    throw await SluiceError.fromResponse(response);
  }
  return ((await response.json()) as { people: LocalUser[] }).people;
}

/**
 * Fetches a new token of a local user.
 *
 * @throws SluiceError `unauthorized` when this browser has opened no sign-in link since the gateway started.
 */
export async function signInLocally(id: string): Promise<Identity> {
  const response = await request("/local/sign-in", {
    method: "POST",
    headers: { "content-type": "application/json", "sluice-browser-key": browserKey() },
    body: JSON.stringify({ person: id }),
  });
  if (!response.ok) {
    if (response.status === 401) {
      forgetBrowserKey();
    }
    throw await SluiceError.fromResponse(response);
  }
  const body = (await response.json()) as { token: string; expires_at: string; sub: string; tenant: string };
  const { token, sub, tenant } = body;
  return { token, expiresAt: body.expires_at, sub, tenant, via: "local", localUser: id };
}

async function request(path: string, init?: RequestInit): Promise<Response> {
  try {
    return await fetch(path, { ...init, cache: "no-store", signal: AbortSignal.timeout(15_000) });
  } catch (cause) {
    throw SluiceError.from(cause);
  }
}

/** Returns the identity of this tab, unless it has expired. */
export function loadIdentity(now = Date.now()): Identity | undefined {
  const identity = parseIdentity(sessionStorage.getItem(KEY));
  const expired = identity?.expiresAt && Date.parse(identity.expiresAt) <= now;
  return expired && identity.via === "token" ? undefined : identity;
}

/** Stores the identity for reloads of this tab only (`sessionStorage`). */
export function storeIdentity(identity: Identity | undefined): void {
  if (identity) {
    sessionStorage.setItem(KEY, JSON.stringify(identity));
  } else {
    sessionStorage.removeItem(KEY);
  }
}

/** Parses a stored identity. Returns `undefined` for the format of an earlier version; the user then signs in again. */
function parseIdentity(text: string | null): Identity | undefined {
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
