import { ActionIcon, Checkbox, Group, ScrollArea, Table, Text, VisuallyHidden } from "@mantine/core";
import type { Column } from "@sluice/client";
import { type ColumnChoice, chosenNames, moveColumn } from "@sluice/client/form";
import { IconArrowDown, IconArrowUp } from "@tabler/icons-react";
import { useLayoutEffect, useRef, useState } from "react";
import { strings } from "../strings.js";

interface Props {
  columns: readonly Column[];
  /** All columns, in the order of the file. */
  choices: readonly ColumnChoice[];
  onChange: (choices: ColumnChoice[]) => void;
}

/** Every column in the order of the file, with its type, a checkbox, and buttons that move a chosen one. */
export function ColumnTable({ columns, choices, onChange }: Props) {
  const [announcement, setAnnouncement] = useState("");
  const pressed = useRef<HTMLButtonElement>(null);
  const names = chosenNames(choices);
  const toggle = (name: string) =>
    onChange(choices.map((choice) => (choice.name === name ? { name, chosen: !choice.chosen } : choice)));
  const move = (name: string, label: string, by: -1 | 1, button: HTMLButtonElement) => {
    pressed.current = button;
    setAnnouncement(strings.form.columnMoved(label, names.indexOf(name) + by + 1, names.length));
    onChange(moveColumn(choices, name, by));
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: a changed order moves the row, which loses the focus
  useLayoutEffect(() => {
    pressed.current?.focus();
    pressed.current = null;
  }, [choices]);
  return (
    <>
      <VisuallyHidden role="status">{announcement}</VisuallyHidden>
      <ScrollArea.Autosize
        mah={300}
        type="auto"
        viewportProps={{ tabIndex: 0, "aria-label": strings.form.columns }}
      >
        <Table verticalSpacing={4} fz="sm" data-testid="columns">
          <Table.Tbody>
            {choices.map(({ name, chosen }) => {
              const column = columns.find((one) => one.name === name);
              const label = column?.label ?? name;
              return (
                <Table.Tr key={name}>
                  <Table.Td>
                    <Checkbox
                      size="sm"
                      label={label}
                      checked={chosen}
                      // a file needs at least one column
                      disabled={chosen && names.length === 1}
                      onChange={() => toggle(name)}
                      data-testid={`column-${name}`}
                    />
                  </Table.Td>
                  <Table.Td>
                    <Text size="xs" c="dimmed" ta="right">
                      {column && strings.form.columnFacts(column)}
                    </Text>
                  </Table.Td>
                  <Table.Td w={1} h={36}>
                    {chosen && (
                      <Group gap={2} wrap="nowrap">
                        <MoveButton
                          label={strings.form.moveUp(label)}
                          testId={`column-up-${name}`}
                          isEnd={name === names[0]}
                          onPress={(button) => move(name, label, -1, button)}
                        >
                          <IconArrowUp size={16} aria-hidden />
                        </MoveButton>
                        <MoveButton
                          label={strings.form.moveDown(label)}
                          testId={`column-down-${name}`}
                          isEnd={name === names.at(-1)}
                          onPress={(button) => move(name, label, 1, button)}
                        >
                          <IconArrowDown size={16} aria-hidden />
                        </MoveButton>
                      </Group>
                    )}
                  </Table.Td>
                </Table.Tr>
              );
            })}
          </Table.Tbody>
        </Table>
      </ScrollArea.Autosize>
    </>
  );
}

interface MoveButtonProps {
  label: string;
  testId: string;
  /** Whether the column is at the end of the file to which the button moves it. */
  isEnd: boolean;
  onPress: (button: HTMLButtonElement) => void;
  children: React.ReactNode;
}

function MoveButton({ label, testId, isEnd, onPress, children }: MoveButtonProps) {
  return (
    <ActionIcon
      variant="subtle"
      color="gray"
      size={26}
      bg={isEnd ? "transparent" : undefined}
      aria-label={label}
      // a disabled button would lose the focus
      aria-disabled={isEnd}
      data-disabled={isEnd || undefined}
      onClick={(event) => {
        if (!isEnd) {
          onPress(event.currentTarget);
        }
      }}
      data-testid={testId}
    >
      {children}
    </ActionIcon>
  );
}
