import {
  ActionIcon,
  Anchor,
  Badge,
  Group,
  Menu,
  Popover,
  Text,
  Tooltip,
  UnstyledButton,
  useComputedColorScheme,
  useMantineColorScheme,
} from "@mantine/core";
import { IconCoins, IconLogout, IconMoon, IconSun, IconUser } from "@tabler/icons-react";
import { Link } from "wouter";
import type { Identity } from "../auth/identity.js";
import { useLive } from "../live/LiveProvider.js";
import { useCredits } from "../live/queries.js";
import { strings } from "../strings.js";
import { Logo } from "./Logo.js";

/** Name, connection, credits and account. */
export function Header({ identity, onSignOut }: { identity: Identity; onSignOut: () => void }) {
  return (
    <Group h="100%" px="md" justify="space-between" wrap="nowrap" gap="xs">
      <Anchor component={Link} href="/" underline="never" c="inherit">
        <Group gap={10} wrap="nowrap">
          <Logo />
          <Text fw={700} size="lg" visibleFrom="xs">
            {strings.product}
          </Text>
        </Group>
      </Anchor>
      <Group gap="xs" wrap="nowrap">
        <Connection />
        <CreditBalance />
        <ThemeSwitch />
        <Menu position="bottom-end" shadow="md">
          <Menu.Target>
            <ActionIcon
              variant="default"
              size="lg"
              aria-label={strings.header.menu}
              data-testid="account-menu"
            >
              <IconUser size={18} />
            </ActionIcon>
          </Menu.Target>
          <Menu.Dropdown>
            <Menu.Label>{strings.header.account(identity.sub, identity.tenant)}</Menu.Label>
            <Menu.Item leftSection={<IconLogout size={16} />} onClick={onSignOut} data-testid="sign-out">
              {strings.header.signOut}
            </Menu.Item>
          </Menu.Dropdown>
        </Menu>
      </Group>
    </Group>
  );
}

function Connection() {
  const { connection, client } = useLive();
  const text = strings.connection;
  const [color, hint] = {
    live: ["teal", text.liveHint] as const,
    connecting: ["gray", text.connectingHint] as const,
    reconnecting: [
      "yellow",
      text.reconnectingHint(connection.name === "reconnecting" ? connection.attempt : 0),
    ] as const,
    offline: [
      "red",
      connection.name === "offline" && connection.network ? text.closedHint : text.offlineHint,
    ] as const,
  }[connection.name];
  const again = () => {
    if (connection.name === "offline") {
      client.connect().catch(() => undefined); // the state says why, and stays on show
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
        <UnstyledButton onClick={again} aria-label={`${text[connection.name]}. ${text.retry}`}>
          {badge}
        </UnstyledButton>
      )}
    </Tooltip>
  );
}

function CreditBalance() {
  const credits = useCredits();
  if (!credits.data) {
    return null;
  }
  const { balance, held, next_grant_at } = credits.data;
  return (
    <Popover position="bottom-end" shadow="md" width={260} withArrow>
      <Popover.Target>
        <UnstyledButton aria-label={strings.credits.balance(balance)}>
          <Badge
            size="lg"
            tt="none"
            variant="light"
            color={balance > 0 ? "water" : "red"}
            leftSection={<IconCoins size={15} aria-hidden />}
            data-testid="credit-balance"
            data-balance={balance}
            style={{ cursor: "pointer" }}
          >
            {strings.credits.balance(balance)}
          </Badge>
        </UnstyledButton>
      </Popover.Target>
      <Popover.Dropdown>
        {held > 0 && <Text size="sm">{strings.credits.held(held)}</Text>}
        {next_grant_at && <Text size="sm">{strings.credits.next(next_grant_at)}</Text>}
        <Text size="sm" c="dimmed" mt={4}>
          {strings.credits.explain}
        </Text>
      </Popover.Dropdown>
    </Popover>
  );
}

function ThemeSwitch() {
  const { setColorScheme } = useMantineColorScheme();
  const dark = useComputedColorScheme("light") === "dark";
  return (
    <ActionIcon
      variant="default"
      size="lg"
      aria-label={strings.header.theme}
      onClick={() => setColorScheme(dark ? "light" : "dark")}
    >
      {dark ? <IconSun size={18} /> : <IconMoon size={18} />}
    </ActionIcon>
  );
}
