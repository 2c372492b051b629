let base: string | undefined;

/** Remembers the gateway that served the script; called once, by the script itself. */
export function setScriptBase(scriptUrl: string): void {
  base = new URL("..", scriptUrl).href;
}

/** Returns the address of the gateway that served the script, with a trailing slash. */
export function scriptBase(): string | undefined {
  return base;
}
