import type { WaitingFor } from "../contract.js";
import type { Slug } from "../errors.js";
import type { NamesLanguage } from "./names.js";

/**
 * What has happened, for each problem, without a full stop. What the user can do next depends on the buttons of a page,
 * so each page adds that itself.
 */
export const problemTitles: Readonly<Record<NamesLanguage, Readonly<Record<Slug, string>>>> = {
  en: {
    unauthorized: "You are not signed in any more",
    forbidden: "You may not do this",
    "not-found": "There is no such export",
    "invalid-request": "The request is not valid",
    "unknown-dataset": "This dataset is not available right now",
    "unknown-template": "This template does not exist",
    "invalid-filter": "The filter is not valid",
    "credits-exhausted": "You have no credits left",
    "too-many-exports": "Too many of your exports are still running",
    "idempotency-conflict": "The same export is being started",
    restarted: "The export had to start again",
    "not-ready": "The file is not finished yet",
    expired: "The file has expired and was deleted",
    canceled: "The export was canceled",
    "export-failed": "The export failed",
    "too-large": "That is too large",
    "rate-limited": "That was too fast",
    unavailable: "The service is not available right now",
    internal: "Something failed on the server",
    network: "The server can't be reached",
    timeout: "The server did not answer in time",
    "digest-mismatch": "The received file is damaged, so it was not saved",
    protocol: "The server sent something that this page does not understand",
    sink: "The file can't be written",
    "no-room": "There is no room left on this device",
    "cancel-unconfirmed": "The server has not confirmed the cancellation",
    aborted: "The download was stopped",
  },
  de: {
    unauthorized: "Sie sind nicht mehr angemeldet",
    forbidden: "Sie dürfen das nicht",
    "not-found": "Diesen Export gibt es nicht",
    "invalid-request": "Die Anfrage ist ungültig",
    "unknown-dataset": "Diese Daten sind gerade nicht verfügbar",
    "unknown-template": "Diese Vorlage gibt es nicht",
    "invalid-filter": "Der Filter ist ungültig",
    "credits-exhausted": "Ihr Guthaben ist aufgebraucht",
    "too-many-exports": "Zu viele Ihrer Exporte laufen noch",
    "idempotency-conflict": "Derselbe Export wird gerade gestartet",
    restarted: "Der Export musste neu beginnen",
    "not-ready": "Die Datei ist noch nicht fertig",
    expired: "Die Datei ist abgelaufen und wurde gelöscht",
    canceled: "Der Export wurde abgebrochen",
    "export-failed": "Der Export ist fehlgeschlagen",
    "too-large": "Das ist zu groß",
    "rate-limited": "Das war zu schnell",
    unavailable: "Der Dienst ist gerade nicht verfügbar",
    internal: "Auf dem Server ist etwas schiefgegangen",
    network: "Der Server ist nicht erreichbar",
    timeout: "Der Server hat nicht rechtzeitig geantwortet",
    "digest-mismatch": "Die empfangene Datei ist beschädigt und wurde nicht gespeichert",
    protocol: "Der Server hat etwas gesendet, das diese Seite nicht versteht",
    sink: "Die Datei lässt sich nicht schreiben",
    "no-room": "Auf diesem Gerät ist kein Platz mehr",
    "cancel-unconfirmed": "Der Server hat den Abbruch nicht bestätigt",
    aborted: "Der Download wurde angehalten",
  },
};

/** What people read while an export waits for a service. */
export const waitingNames: Readonly<Record<NamesLanguage, Readonly<Record<WaitingFor, string>>>> = {
  en: {
    storage: "Waiting for storage",
    database: "Waiting for the database",
    messaging: "Waiting for the message service",
    source: "Waiting for the data source",
    operator: "Paused by an operator",
  },
  de: {
    storage: "Wartet auf den Speicher",
    database: "Wartet auf die Datenbank",
    messaging: "Wartet auf den Nachrichtendienst",
    source: "Wartet auf die Datenquelle",
    operator: "Vom Betrieb angehalten",
  },
};
