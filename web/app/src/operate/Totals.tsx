import { Paper, SimpleGrid, Text } from "@mantine/core";
import type { Overview } from "@sluice/client";
import { formatCount } from "../format.js";
import { strings } from "../strings.js";

/** The numbers of the whole installation. */
export function Totals({ overview }: { overview: Overview }) {
  const text = strings.operate.totals;
  const { waiting, paused, dispatched, running } = overview.totals;
  const numbers = [
    { name: "waiting", label: text.waiting, value: waiting },
    { name: "paused", label: text.paused, value: paused },
    { name: "dispatched", label: text.dispatched, value: dispatched },
    { name: "running", label: text.running, value: running },
    { name: "failed", label: text.failed, value: overview.failed },
    { name: "dead-letters", label: text.deadLetters, value: overview.dead_letters },
  ];
  return (
    <SimpleGrid cols={{ base: 2, xs: 3, md: 6 }} spacing="sm">
      {numbers.map(({ name, label, value }) => (
        <Paper key={name} withBorder radius="lg" p="sm" data-testid={`total-${name}`} data-value={value}>
          <Text fw={700} size="xl" style={{ fontVariantNumeric: "tabular-nums" }}>
            {formatCount(value)}
          </Text>
          <Text size="sm" c="dimmed">
            {label}
          </Text>
        </Paper>
      ))}
    </SimpleGrid>
  );
}
