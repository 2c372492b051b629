import { Badge, Tooltip, UnstyledButton } from "@mantine/core";
import { useLive } from "../live/LiveProvider.js";
import { strings } from "../strings.js";

/** Badge with the state of the live connection. A click retries. */
export function ConnectionBadge() {
  const { connection, client, saver } = useLive();
  const text = strings.connection;
  const [color, hint] = {
    live: ["teal", text.liveHint] as const,
    connecting: ["gray", text.connectingHint] as const,
    reconnecting: [
      "yellow",
      text.reconnectingHint(connection.name === "reconnecting" ? connection.attempt : 0),
    ] as const,
    limited: ["yellow", text.limitedHint] as const,
    offline: [
      "red",
      connection.name !== "offline" || !connection.network
        ? text.offlineHint
        : connection.tooMany
          ? text.tooManyHint
          : text.closedHint,
    ] as const,
  }[connection.name];
  const retry = () => {
    saver.retryNow();
    if (connection.name === "offline") {
      client.connect().catch(() => undefined); // the state reports the error and stays visible
    } else {
      client.retryNow();
    }
  };
  const badge = (
    <Badge
      color={color}
      variant="dot"
      size="lg"
      tt="none"
      data-testid="connection-state"
      data-state={connection.name}
      role="status"
    >
      {text[connection.name]}
    </Badge>
  );
  return (
    <Tooltip label={hint} multiline maw={260} events={{ hover: true, focus: true, touch: true }}>
      {connection.name === "live" ? (
        badge
      ) : (
        <UnstyledButton onClick={retry} aria-label={`${text[connection.name]}. ${text.retry}`}>
          {badge}
        </UnstyledButton>
      )}
    </Tooltip>
  );
}
