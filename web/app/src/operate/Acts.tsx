import { Stack, Text } from "@mantine/core";
import type { OperatorAct } from "@sluice/client";
import { formatShortTime } from "../format.js";
import { strings } from "../strings.js";

/** What operators did, and why. */
export function Acts({ acts }: { acts: readonly OperatorAct[] }) {
  const text = strings.operate.acts;
  if (acts.length === 0) {
    return (
      <Text size="sm" c="dimmed">
        {text.none}
      </Text>
    );
  }
  return (
    <Stack gap="xs" component="ul" p={0} m={0} style={{ listStyle: "none" }}>
      {acts.map((act) => (
        <li key={`${act.at} ${act.action} ${act.export_id} ${act.tenant}`} data-testid="act">
          <Text size="sm" style={{ overflowWrap: "anywhere" }}>
            {text.line(act)}
          </Text>
          <Text size="xs" c="dimmed" style={{ overflowWrap: "anywhere" }}>
            {[formatShortTime(act.at), act.reason].filter(Boolean).join(" · ")}
          </Text>
        </li>
      ))}
    </Stack>
  );
}
