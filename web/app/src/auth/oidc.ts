import { SluiceError } from "@sluice/client";
import type { ErrorResponse, User, UserManager } from "oidc-client-ts";
import type { Identity, SignInKind } from "./identity.js";

type Issuer = Extract<SignInKind, { kind: "oidc" }>;

/** Path of the redirect URI; it must be registered at the issuer. */
export const CALLBACK_PATH = "/signed-in";

/**
 * OpenID Connect client: authorization code flow with PKCE. It stores its state in this tab's `sessionStorage` only,
 * and no address ever contains a token.
 */
export class Oidc {
  readonly #manager: UserManager;
  /**
   * Additional parameters of every token request. As settings of the `UserManager` they would be sent at sign-out too,
   * and not with a refresh.
   */
  readonly #parameters: Record<string, string>;
  readonly #isErrorResponse: (cause: unknown) => cause is ErrorResponse;

  private constructor(
    manager: UserManager,
    parameters: Record<string, string>,
    isErrorResponse: (cause: unknown) => cause is ErrorResponse,
  ) {
    this.#manager = manager;
    this.#parameters = parameters;
    this.#isErrorResponse = isErrorResponse;
  }

  static async create(issuer: Issuer): Promise<Oidc> {
    // loaded on demand, because most installations need no OpenID Connect
    const {
      ErrorResponse: ErrorResponseClass,
      UserManager,
      WebStorageStateStore,
    } = await import("oidc-client-ts");
    const store = new WebStorageStateStore({ store: window.sessionStorage, prefix: "sluice.oidc." });
    const manager = new UserManager({
      authority: issuer.authority,
      client_id: issuer.client_id,
      redirect_uri: new URL(CALLBACK_PATH, window.location.origin).href,
      post_logout_redirect_uri: window.location.origin,
      scope: issuer.scope,
      response_type: "code",
      automaticSilentRenew: false,
      loadUserInfo: false,
      userStore: store,
      stateStore: store,
    });
    return new Oidc(manager, issuer.parameters, (cause) => cause instanceof ErrorResponseClass);
  }

  /** Redirects to the issuer. `returnPath` is the path to open after the sign-in. */
  async startSignIn(returnPath: string): Promise<void> {
    try {
      await this.#manager.signinRedirect({
        state: returnPath,
        extraQueryParams: this.#parameters,
        extraTokenParams: this.#parameters,
      });
    } catch (cause) {
      throw SluiceError.from(cause);
    }
  }

  /** Completes the sign-in after the redirect. Returns the identity and the path to open. */
  async completeSignIn(url: string): Promise<{ identity: Identity; returnPath: string }> {
    try {
      const user = await this.#manager.signinRedirectCallback(url);
      const returnPath = typeof user.state === "string" && user.state.startsWith("/") ? user.state : "/";
      return { identity: identityOf(user), returnPath };
    } catch (cause) {
      const detail = cause instanceof Error ? cause.message : undefined;
      throw new SluiceError({ slug: "unauthorized", title: "Not signed in", detail, cause });
    }
  }

  /** Returns a newer token, as long as the issuer's session lasts. */
  async renew(): Promise<Identity> {
    const user = await this.#manager.getUser();
    if (!user?.refresh_token) {
      throw new SluiceError({ slug: "unauthorized", title: "The session has ended" });
    }
    try {
      const renewed = await this.#manager.signinSilent({ extraTokenParams: this.#parameters });
      if (renewed) {
        return identityOf(renewed);
      }
    } catch (cause) {
      // the issuer's answer is final, unless it reports a temporary failure; without an answer the client retries
      if (!this.#isErrorResponse(cause) || isTransientOAuthError(cause.error)) {
        throw SluiceError.from(cause);
      }
      throw new SluiceError({ slug: "unauthorized", title: "The session has ended", cause });
    }
    throw new SluiceError({ slug: "unauthorized", title: "The session has ended" });
  }

  /** Removes the user here and, if the issuer has an end-session endpoint, redirects there. */
  async signOut(): Promise<void> {
    // without a user the request has no `id_token_hint`: the issuer's cookie identifies the user, and no address
    // contains a token
    await this.#manager.removeUser();
    if (await this.#manager.metadataService.getEndSessionEndpoint()) {
      await this.#manager.signoutRedirect();
    }
  }
}

/** The errors of RFC 6749 (4.1.2.1) after which a retry may succeed. */
function isTransientOAuthError(error: string | null): boolean {
  return error === "temporarily_unavailable" || error === "server_error";
}

function identityOf(user: User): Identity {
  return {
    token: user.access_token,
    expiresAt: user.expires_at === undefined ? null : new Date(user.expires_at * 1000).toISOString(),
    sub: user.profile.sub,
    tenant: "", // the session reports the tenant
    via: "oidc",
    localUser: null,
  };
}
