import { SluiceError } from "@sluice/client";
import { fetchSignIn, type Identity, signInLocally } from "./identity.js";
import { Oidc } from "./oidc.js";

/**
 * Returns a newer token of the same user.
 *
 * @throws SluiceError `unauthorized` when there is none.
 */
export async function renewIdentity(current: Identity): Promise<Identity> {
  switch (current.via) {
    case "local":
      return signInLocally(current.localUser ?? "");
    case "oidc": {
      const kind = await fetchSignIn();
      if (kind.kind !== "oidc") {
        throw new SluiceError({ slug: "unauthorized", title: "This issuer is no longer used here" });
      }
      const renewed = await (await Oidc.create(kind)).renew();
      return { ...renewed, sub: current.sub, tenant: current.tenant };
    }
    case "token":
      return current;
  }
}
