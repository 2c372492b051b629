import type { Export } from "@sluice/client";
import { strings } from "../strings.js";

const KEY = "sluice.notify";

/** Whether this browser can show notifications at all. */
export function canNotify(): boolean {
  return "Notification" in window;
}

/** Whether the person wants them, and the browser lets us. */
export function wantsNotifications(): boolean {
  return canNotify() && Notification.permission === "granted" && localStorage.getItem(KEY) === "on";
}

/** Turns them on or off; the click that calls it lets the browser ask. Gives whether they are on now. */
export async function setNotifications(on: boolean): Promise<boolean> {
  localStorage.setItem(KEY, on ? "on" : "off");
  if (on && canNotify() && Notification.permission === "default") {
    await Notification.requestPermission();
  }
  return wantsNotifications();
}

/** Says how an export ended, when nobody looks at the page. Pressing it leads there. */
export function notifyEnd(item: Export, open: (path: string) => void): void {
  if (!document.hidden || !wantsNotifications()) {
    return;
  }
  const notification = new Notification(strings.notify.title(item), {
    body: strings.notify.body(item),
    tag: item.id,
    icon: "/favicon.svg",
  });
  notification.onclick = () => {
    window.focus();
    open(`/exports/${item.id}`);
    notification.close();
  };
}
