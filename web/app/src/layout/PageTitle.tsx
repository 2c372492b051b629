import { Title, type TitleProps } from "@mantine/core";
import { useEffect, useRef, useSyncExternalStore } from "react";

let shown = "";
const listeners = new Set<() => void>();

/** The page that had the focus last; none while the document has just been loaded. */
let last: string | undefined;

interface Props extends TitleProps {
  /** Tells pages apart: who comes here from another one is put at its heading. */
  page: string;
  /** For the window's title; empty on the start page. */
  name: string;
}

/** The first heading of a page. It takes the focus when the page changes, and names the window. */
export function PageTitle({ page, name, ...props }: Props) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (last !== undefined && last !== page) {
      window.scrollTo(0, 0);
      heading.current?.focus({ preventScroll: true });
    }
    last = page;
  }, [page]);
  useEffect(() => {
    shown = name;
    for (const listener of listeners) {
      listener();
    }
  }, [name]);
  return <Title ref={heading} order={1} tabIndex={-1} style={{ outline: "none" }} {...props} />;
}

/** What the page that is open is called. */
export function usePageName(): string {
  return useSyncExternalStore(subscribe, () => shown);
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
  };
}
