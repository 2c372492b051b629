import { Group, Paper, ScrollArea, Stack, Table, Text, Title } from "@mantine/core";
import { type ReactNode, useId } from "react";

interface Props {
  title: string;
  /** Shown beside the title, such as a button. */
  action?: ReactNode;
  children: ReactNode;
  testId: string;
}

/** A titled part of the operators' page. */
export function Section({ title, action, children, testId }: Props) {
  const id = useId();
  return (
    <Paper withBorder radius="lg" p="md" component="section" aria-labelledby={id} data-testid={testId}>
      <Stack gap="sm">
        <Group justify="space-between" gap="xs">
          <Title order={2} size="h4" id={id}>
            {title}
          </Title>
          {action}
        </Group>
        {children}
      </Stack>
    </Paper>
  );
}

interface TableProps {
  /** The name of the table for screen readers. */
  label: string;
  columns: readonly string[];
  rows: readonly { key: string; cells: readonly ReactNode[] }[];
  /** Shown instead of a table without rows. */
  none: string;
}

/** A table that scrolls sideways when the window is narrow. */
export function DataTable({ label, columns, rows, none }: TableProps) {
  if (rows.length === 0) {
    return (
      <Text size="sm" c="dimmed">
        {none}
      </Text>
    );
  }
  return (
    <ScrollArea type="auto" viewportProps={{ tabIndex: 0, role: "group", "aria-label": label }}>
      <Table verticalSpacing={6} horizontalSpacing="sm" fz="sm" miw={640} aria-label={label}>
        <Table.Thead>
          <Table.Tr>
            {columns.map((column) => (
              <Table.Th key={column}>{column}</Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {rows.map(({ key, cells }) => (
            <Table.Tr key={key} data-key={key}>
              {columns.map((column, index) => (
                <Table.Td key={column} style={{ overflowWrap: "break-word" }}>
                  {cells[index]}
                </Table.Td>
              ))}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </ScrollArea>
  );
}
