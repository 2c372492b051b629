import type { Export } from "@sluice/client";
import { activeRegistration } from "../saving/activeServiceWorker.js";
import { strings } from "../strings.js";

const KEY = "sluice.notify";

/** Whether this browser can show notifications at all. */
export function notificationsSupported(): boolean {
  return "Notification" in window;
}

/** Whether the person wants them, and the browser lets us. */
export function notificationsEnabled(): boolean {
  return isAllowed() && localStorage.getItem(KEY) === "on";
}

/** Turns them on or off; the click that calls it lets the browser ask. Gives whether they are on now. */
export async function setNotifications(on: boolean): Promise<boolean> {
  if (on && notificationsSupported() && Notification.permission === "default") {
    await Notification.requestPermission();
  }
  localStorage.setItem(KEY, on && isAllowed() ? "on" : "off");
  return notificationsEnabled();
}

/** The person signs out: whoever is next chooses anew. */
export function clearNotificationChoice(): void {
  localStorage.removeItem(KEY);
}

/** Whether the browser has been told never to show them, which only its own settings can change. */
export function notificationsDenied(): boolean {
  return notificationsSupported() && Notification.permission === "denied";
}

function isAllowed(): boolean {
  return notificationsSupported() && Notification.permission === "granted";
}

/** Says how an export ended, when nobody looks at the page. Pressing it leads there. */
export function notifyExportEnd(item: Export, open: (path: string) => void): void {
  if (!document.hidden || !notificationsEnabled()) {
    return;
  }
  const title = strings.notify.title(item);
  const path = `/exports/${item.id}`;
  const options = { body: strings.notify.body(item), tag: item.id, icon: "/favicon.svg" };
  try {
    const notification = new Notification(title, options);
    notification.onclick = () => {
      window.focus();
      open(path);
      notification.close();
    };
  } catch {
    // browsers on phones leave it to a service worker
    void notifyByWorker(title, { ...options, data: { path } }).catch(reportError);
  }
}

async function notifyByWorker(title: string, options: NotificationOptions): Promise<void> {
  const registration = await activeRegistration();
  await registration.showNotification(title, options);
}

/** Hears of a pressed notification that the service worker has shown. Returns what subscriptions it. */
export function onNotificationClick(open: (path: string) => void): () => void {
  const workers = "serviceWorker" in navigator ? navigator.serviceWorker : undefined;
  const hear = ({ data }: MessageEvent<{ open?: string } | null>) => {
    if (typeof data?.open === "string" && data.open.startsWith("/exports/")) {
      open(data.open);
    }
  };
  workers?.addEventListener("message", hear);
  workers?.startMessages();
  return () => workers?.removeEventListener("message", hear);
}
