import { Checkbox, ScrollArea, Table, Text } from "@mantine/core";
import type { Column } from "@sluice/client";
import { strings } from "../strings.js";

interface Props {
  columns: Column[];
  /** Names of the chosen columns; empty means all. */
  chosen: readonly string[];
  onChange: (chosen: string[]) => void;
}

/** Every column with its type and a checkbox. */
export function ColumnTable({ columns, chosen, onChange }: Props) {
  const all = chosen.length === 0;
  const isChosen = (name: string) => all || chosen.includes(name);
  const toggle = (name: string) => {
    const next = columns.map((column) => column.name).filter((one) => isChosen(one) !== (one === name));
    onChange(next.length === columns.length ? [] : next);
  };
  return (
    <ScrollArea.Autosize
      mah={300}
      type="auto"
      viewportProps={{ tabIndex: 0, "aria-label": strings.form.columns }}
    >
      <Table verticalSpacing={5} fz="sm" data-testid="columns">
        <Table.Tbody>
          {columns.map((column) => (
            <Table.Tr key={column.name}>
              <Table.Td>
                <Checkbox
                  size="sm"
                  label={column.label ?? column.name}
                  checked={isChosen(column.name)}
                  // a file needs at least one column
                  disabled={chosen.length === 1 && chosen[0] === column.name}
                  onChange={() => toggle(column.name)}
                  data-testid={`column-${column.name}`}
                />
              </Table.Td>
              <Table.Td>
                <Text size="xs" c="dimmed" ta="right">
                  {strings.columnTypes[column.type] ?? column.type}
                  {column.masked && ` · ${strings.form.masked}`}
                  {column.nullable && ` · ${strings.form.nullable}`}
                </Text>
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </ScrollArea.Autosize>
  );
}
