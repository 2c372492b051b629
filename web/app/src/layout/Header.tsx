import {
  ActionIcon,
  Anchor,
  Badge,
  Group,
  Menu,
  Text,
  UnstyledButton,
  useComputedColorScheme,
  useMantineColorScheme,
} from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import {
  IconActivity,
  IconBell,
  IconBellOff,
  IconCoins,
  IconHistory,
  IconKey,
  IconLogout,
  IconMoon,
  IconSun,
  IconUser,
} from "@tabler/icons-react";
import { useState } from "react";
import { Link, useLocation } from "wouter";
import type { Identity } from "../auth/identity.js";
import { CreditsPanel } from "../credits/CreditsPanel.js";
import { KeysPanel } from "../keys/KeysPanel.js";
import { useLive } from "../live/LiveProvider.js";
import { useCredits } from "../live/queries.js";
import {
  notificationsDenied,
  notificationsEnabled,
  notificationsSupported,
  setNotifications,
} from "../notify/notifications.js";
import { strings } from "../strings.js";
import { ConnectionBadge } from "./ConnectionBadge.js";
import { Logo } from "./Logo.js";

/** Header with logo, connection, credits, history and account menu. */
export function Header({ identity, onSignOut }: { identity: Identity; onSignOut: () => void }) {
  const [path] = useLocation();
  const { operator } = useLive();
  return (
    <Group h="100%" px="md" justify="space-between" wrap="nowrap" gap="xs">
      <Anchor component={Link} href="/" underline="never" c="inherit" aria-label={strings.header.home}>
        <Group gap={10} wrap="nowrap">
          <Logo />
          <Text fw={700} size="lg" visibleFrom="xs">
            {strings.product}
          </Text>
        </Group>
      </Anchor>
      <Group gap="xs" wrap="nowrap">
        <ConnectionBadge />
        <CreditBalance />
        <ActionIcon
          component={Link}
          href="/history"
          variant="default"
          size="lg"
          aria-label={strings.history.title}
          aria-current={path === "/history" ? "page" : undefined}
          data-testid="history-link"
        >
          <IconHistory size={18} aria-hidden />
        </ActionIcon>
        {operator && (
          <ActionIcon
            component={Link}
            href="/operate"
            variant="default"
            size="lg"
            aria-label={strings.operate.title}
            aria-current={path === "/operate" ? "page" : undefined}
            data-testid="operate-link"
          >
            <IconActivity size={18} aria-hidden />
          </ActionIcon>
        )}
        <ThemeSwitch />
        <Account identity={identity} onSignOut={onSignOut} />
      </Group>
    </Group>
  );
}

function Account({ identity, onSignOut }: { identity: Identity; onSignOut: () => void }) {
  const [notify, setNotify] = useState(() => notificationsEnabled());
  const [forbidden, setForbidden] = useState(() => notificationsDenied());
  const toggle = async () => {
    setNotify(await setNotifications(!notify));
    setForbidden(notificationsDenied());
  };
  const [keysOpened, keys] = useDisclosure(false);
  const text = strings.header;
  return (
    <>
      <KeysPanel opened={keysOpened} onClose={keys.close} />
      <Menu position="bottom-end" shadow="md">
        <Menu.Target>
          <ActionIcon variant="default" size="lg" aria-label={text.menu} data-testid="account-menu">
            <IconUser size={18} aria-hidden />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Label>{text.account(identity.sub, identity.tenant)}</Menu.Label>
          {notificationsSupported() && (
            <Menu.Item
              closeMenuOnClick={false}
              leftSection={
                notify ? <IconBell size={16} aria-hidden /> : <IconBellOff size={16} aria-hidden />
              }
              disabled={forbidden}
              onClick={() => void toggle()}
              data-testid="notify-switch"
            >
              {forbidden ? text.notifyDenied : notify ? text.notifyOff : text.notifyOn}
            </Menu.Item>
          )}
          <Menu.Item
            leftSection={<IconKey size={16} aria-hidden />}
            onClick={keys.open}
            data-testid="keys-open"
          >
            {strings.keys.title}
          </Menu.Item>
          <Menu.Item
            leftSection={<IconLogout size={16} aria-hidden />}
            onClick={onSignOut}
            data-testid="sign-out"
          >
            {text.signOut}
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
    </>
  );
}

function CreditBalance() {
  const credits = useCredits();
  const [opened, { open, close }] = useDisclosure(false);
  const balance = credits.data?.balance;
  const known = balance !== undefined;
  const failed = credits.errorUpdateCount > 0;
  // always the same button, so that it keeps the focus when the balance arrives
  return (
    <>
      {(known || failed) && (
        <UnstyledButton
          onClick={open}
          aria-label={known ? strings.credits.open(balance) : strings.credits.openUnknown}
          data-testid={known ? "credits-open" : "credits-unknown"}
        >
          <Badge
            size="lg"
            tt="none"
            variant="light"
            color={known ? (balance > 0 ? "water" : "red") : "gray"}
            leftSection={<IconCoins size={15} aria-hidden />}
            data-testid={known ? "credit-balance" : undefined}
            data-balance={balance}
            style={{ cursor: "pointer" }}
          >
            {known ? strings.credits.balance(balance) : strings.credits.unknown}
          </Badge>
        </UnstyledButton>
      )}
      <CreditsPanel opened={opened} onClose={close} />
    </>
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
      data-testid="theme"
      onClick={() => setColorScheme(dark ? "light" : "dark")}
    >
      {dark ? <IconSun size={18} aria-hidden /> : <IconMoon size={18} aria-hidden />}
    </ActionIcon>
  );
}
