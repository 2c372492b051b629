import { Anchor, Drawer, Group, Paper, SimpleGrid, Stack, Table, Text } from "@mantine/core";
import type { CreditEntry } from "@sluice/client";
import { useEffect, useState } from "react";
import { Link } from "wouter";
import { formatShortTime, formatSigned } from "../format.js";
import { useCredits } from "../live/queries.js";
import { QueryStatus } from "../problems/QueryStatus.js";
import { strings } from "../strings.js";

/** Refresh interval of the time until the next credit, in milliseconds. */
const REFRESH_MS = 30_000;

interface Props {
  opened: boolean;
  onClose: () => void;
}

/** Panel with the balance, the held credits, the next grant, and every entry of the account. */
export function CreditsPanel({ opened, onClose }: Props) {
  const credits = useCredits();
  const text = strings.credits;
  return (
    <Drawer
      opened={opened}
      onClose={onClose}
      position="right"
      title={text.title}
      closeButtonProps={{ "aria-label": strings.dismiss }}
    >
      <QueryStatus query={credits} height={120} />
      {credits.data && (
        <Stack data-testid="credits-panel">
          <SimpleGrid cols={2}>
            <Figure label={text.available} value={String(credits.data.balance)} />
            <Figure label={text.heldLabel} value={String(credits.data.held)} />
          </SimpleGrid>
          {credits.data.next_grant_at && <NextGrant at={credits.data.next_grant_at} />}
          <Text size="sm" c="dimmed">
            {text.explain}
          </Text>
          <Entries entries={credits.data.entries} onNavigate={onClose} />
        </Stack>
      )}
    </Drawer>
  );
}

function Figure({ label, value }: { label: string; value: string }) {
  return (
    <Paper withBorder radius="md" p="sm">
      <Text size="xs" c="dimmed">
        {label}
      </Text>
      <Text size="xl" fw={700}>
        {value}
      </Text>
    </Paper>
  );
}

function NextGrant({ at }: { at: string }) {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), REFRESH_MS);
    return () => clearInterval(timer);
  }, []);
  return (
    <Text size="sm" data-testid="next-grant">
      {strings.credits.next(at, Math.max(0, Date.parse(at) - now))}
    </Text>
  );
}

function Entries({ entries, onNavigate }: { entries: readonly CreditEntry[]; onNavigate: () => void }) {
  const text = strings.credits;
  if (entries.length === 0) {
    return <Text size="sm">{text.noEntries}</Text>;
  }
  return (
    <Table verticalSpacing={6} fz="sm" data-testid="credit-entries">
      <Table.Thead>
        <Table.Tr>
          <Table.Th>{text.when}</Table.Th>
          <Table.Th>{text.what}</Table.Th>
          <Table.Th ta="right">{text.amount}</Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {entries.map((entry) => (
          <Table.Tr key={`${entry.at} ${entry.kind} ${entry.export_id ?? ""}`}>
            <Table.Td>{formatShortTime(entry.at)}</Table.Td>
            <Table.Td>
              <Group gap={6}>
                {text.kinds[entry.kind] ?? entry.kind}
                {entry.export_id && (
                  <Anchor
                    component={Link}
                    fz="inherit"
                    underline="always"
                    href={`/exports/${entry.export_id}`}
                    onClick={onNavigate}
                  >
                    {text.showExport}
                  </Anchor>
                )}
              </Group>
            </Table.Td>
            <Table.Td ta="right" style={{ fontVariantNumeric: "tabular-nums" }}>
              {entry.amount === 0 ? "" : formatSigned(entry.amount)}
            </Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}
