import { SluiceError } from "@sluice/client";
import type { ErrorResponse, User, UserManager } from "oidc-client-ts";
import type { Identity, SignInKind } from "./identity.js";

type Issuer = Extract<SignInKind, { kind: "oidc" }>;

/** Where the issuer sends people back to; it must be registered there. */
export const CALLBACK_PATH = "/signed-in";

/**
 * Signs people in at an outside issuer, by the authorization code flow with PKCE. What it keeps is in this tab's
 * `sessionStorage` alone, and the address never holds a token.
 */
export class Oidc {
  readonly #manager: UserManager;
  /** Said with each call for a token, as the settings of the manager would say them at signing out, and not for a renewal. */
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

  static async at(issuer: Issuer): Promise<Oidc> {
    // of no use to an installation without an issuer, so it comes only when there is one
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

  /** Leaves the page for the issuer's; `back` is where the person wants to be afterwards. */
  async leave(back: string): Promise<void> {
    try {
      await this.#manager.signinRedirect({
        state: back,
        extraQueryParams: this.#parameters,
        extraTokenParams: this.#parameters,
      });
    } catch (cause) {
      throw SluiceError.from(cause);
    }
  }

  /** Takes what the issuer sent along. Gives who it is, and where they wanted to be. */
  async arrive(address: string): Promise<{ identity: Identity; back: string }> {
    try {
      const user = await this.#manager.signinRedirectCallback(address);
      const back = typeof user.state === "string" && user.state.startsWith("/") ? user.state : "/";
      return { identity: identityOf(user), back };
    } catch (cause) {
      const detail = cause instanceof Error ? cause.message : undefined;
      throw new SluiceError({ slug: "unauthorized", title: "Not signed in", detail, cause });
    }
  }

  /** A mergeExport token, as long as the issuer remembers the person. */
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
      // what the issuer says is final, unless it says that it can't answer now; no answer at all is tried again
      if (!this.#isErrorResponse(cause) || isTransientOAuthError(cause.error)) {
        throw SluiceError.from(cause);
      }
      throw new SluiceError({ slug: "unauthorized", title: "The session has ended", cause });
    }
    throw new SluiceError({ slug: "unauthorized", title: "The session has ended" });
  }

  /** Forgets the person here, and at the issuer if it can be told: the page leaves for there then. */
  async forget(): Promise<void> {
    // without a user there is no `id_token_hint`: the issuer knows the person by its own cookie, and no address holds a token
    await this.#manager.removeUser();
    if (await this.#manager.metadataService.getEndSessionEndpoint()) {
      await this.#manager.signoutRedirect();
    }
  }
}

/** The errors of RFC 6749 after which the same question may be answered later. */
function isTransientOAuthError(error: string | null): boolean {
  return error === "temporarily_unavailable" || error === "server_error";
}

function identityOf(user: User): Identity {
  return {
    token: user.access_token,
    expiresAt: user.expires_at === undefined ? null : new Date(user.expires_at * 1000).toISOString(),
    sub: user.profile.sub,
    tenant: "", // the session tells
    via: "oidc",
    person: null,
  };
}
