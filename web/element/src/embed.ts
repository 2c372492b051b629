/** The script that gateways serve as `/embed/sluice.js`. It knows its gateway by its own address. */
import { setScriptBase } from "./scriptBase.js";

setScriptBase(import.meta.url);

export * from "./index.js";
