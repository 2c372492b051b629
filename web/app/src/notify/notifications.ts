import type { Export } from "@sluice/client";
import { activeRegistration } from "../saving/activeServiceWorker.js";
import { strings } from "../strings.js";

const KEY = "sluice.notify";

/** Returns whether the browser supports notifications. */
export function notificationsSupported(): boolean {
  return "Notification" in window;
}

/** Returns whether the user has enabled notifications and the browser permits them. */
export function notificationsEnabled(): boolean {
  return isPermitted() && localStorage.getItem(KEY) === "on";
}

/**
 * Enables or disables notifications; must be called from a click, so that the browser can ask for permission. Returns
 * whether they are enabled now.
 */
export async function setNotifications(on: boolean): Promise<boolean> {
  if (on && notificationsSupported() && Notification.permission === "default") {
    await Notification.requestPermission();
  }
  localStorage.setItem(KEY, on && isPermitted() ? "on" : "off");
  return notificationsEnabled();
}

/** Removes the stored choice at sign-out, so that the next user chooses again. */
export function clearNotificationChoice(): void {
  localStorage.removeItem(KEY);
}

/** Returns whether the browser denies notifications. Only the browser's settings can change that. */
export function notificationsDenied(): boolean {
  return notificationsSupported() && Notification.permission === "denied";
}

function isPermitted(): boolean {
  return notificationsSupported() && Notification.permission === "granted";
}

/** Shows a notification about an ended export while the page is in the background. A click on it opens the export. */
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
    // mobile browsers allow notifications only from a service worker
    void notifyByWorker(title, { ...options, data: { path } }).catch(reportError);
  }
}

async function notifyByWorker(title: string, options: NotificationOptions): Promise<void> {
  const registration = await activeRegistration();
  await registration.showNotification(title, options);
}

/**
 * Calls `open` when the user clicks a notification of the service worker. Returns a function that removes the listener.
 */
export function onNotificationClick(open: (path: string) => void): () => void {
  const workers = "serviceWorker" in navigator ? navigator.serviceWorker : undefined;
  const onMessage = ({ data }: MessageEvent<{ open?: string } | null>) => {
    if (typeof data?.open === "string" && data.open.startsWith("/exports/")) {
      open(data.open);
    }
  };
  workers?.addEventListener("message", onMessage);
  workers?.startMessages();
  return () => workers?.removeEventListener("message", onMessage);
}
