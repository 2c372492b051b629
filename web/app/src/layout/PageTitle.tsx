import { Title, type TitleProps } from "@mantine/core";
import { useEffect, useRef, useSyncExternalStore } from "react";

let pageName = "";
const listeners = new Set<() => void>();

/** The page whose heading received the focus last; undefined until the first page is shown. */
let lastPage: string | undefined;

interface Props extends TitleProps {
  /** Id of the page. When it changes, the heading gets the focus. */
  page: string;
  /** Name for the window's title; empty on the start page. */
  name: string;
}

/** The main heading of a page. It gets the focus when the page changes, and sets the window's title. */
export function PageTitle({ page, name, ...props }: Props) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (lastPage !== undefined && lastPage !== page) {
      window.scrollTo(0, 0);
      heading.current?.focus({ preventScroll: true });
    }
    lastPage = page;
  }, [page]);
  useEffect(() => {
    pageName = name;
    for (const listener of listeners) {
      listener();
    }
  }, [name]);
  return <Title ref={heading} order={1} tabIndex={-1} style={{ outline: "none" }} {...props} />;
}

/** Returns the name of the open page. */
export function usePageName(): string {
  return useSyncExternalStore(subscribe, () => pageName);
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
  };
}
