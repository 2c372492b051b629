import { Button, Center, Stack, Text, Title } from "@mantine/core";
import { Component, type ReactNode } from "react";
import { strings } from "../strings.js";

interface Props {
  children: ReactNode;
}

/** Shows a message and a reload button when rendering fails. React logs the error. */
export class ErrorBoundary extends Component<Props, { failed: boolean }> {
  override state = { failed: false };

  static getDerivedStateFromError(): { failed: boolean } {
    return { failed: true };
  }

  override render(): ReactNode {
    if (!this.state.failed) {
      return this.props.children;
    }
    return (
      <Center component="main" mih="100dvh" p="md">
        <Stack align="center" maw={420} role="alert" data-testid="error-boundary">
          <Title order={1} size="h3">
            {strings.failed.title}
          </Title>
          <Text ta="center">{strings.failed.next}</Text>
          <Button onClick={() => window.location.reload()}>{strings.reload}</Button>
        </Stack>
      </Center>
    );
  }
}
