-- The whole present schema. Migrations lead here; a house test proves the two equal.
--
-- Every table carries (workspace_id, environment), first in its keys. Row-level security shows the role offhook_app the
-- one tenant its transaction names; offhook_engine (jobs, sender, recorder) passes over tenants on the tables that it
-- works on. The owner migrates and nothing else.
--
-- Two clocks: `*_at` is the environment's time (Tx.now) unless the column says wall; leases of workers (`leased_until`)
-- and `written_at` are real time (Tx.wall).

do $$
begin
  -- Roles belong to the whole cluster: another database of it may have made them.
  if to_regrole('offhook_app') is null then create role offhook_app nologin; end if;
  if to_regrole('offhook_engine') is null then create role offhook_engine nologin; end if;
  execute format('grant offhook_app, offhook_engine to %I', current_user);
end $$;

-- owner: access
create table workspace (
  id          uuid primary key,
  name        text not null,
  created_at  timestamptz not null default now()
);

-- owner: access
create table environment (
  workspace_id  uuid not null references workspace,
  environment   text not null check (environment in ('live', 'sandbox')),
  clock_offset  interval not null default '0',
  primary key (workspace_id, environment),
  check (environment = 'sandbox' or clock_offset = '0')
);

-- owner: access
create table api_key (
  workspace_id  uuid not null,
  environment   text not null,
  id            uuid not null,
  name          text not null,
  hash          bytea not null unique,
  hint          text not null,
  scopes        text[] not null,
  rate_per_s    int not null default 100 check (rate_per_s > 0),
  burst         int not null default 200 check (burst > 0),
  created_at    timestamptz not null,
  updated_at    timestamptz not null,
  revoked_at    timestamptz,
  version       int not null default 1,
  primary key (workspace_id, environment, id),
  foreign key (workspace_id, environment) references environment
);

-- owner: access
create table rate_bucket (
  workspace_id  uuid not null,
  environment   text not null,
  api_key_id    uuid not null,
  tokens        double precision not null,
  refilled_at   timestamptz not null,
  primary key (workspace_id, environment, api_key_id),
  foreign key (workspace_id, environment, api_key_id) references api_key on delete cascade
) with (fillfactor = 50);

-- owner: http
create table idempotency (
  workspace_id  uuid not null,
  environment   text not null,
  key_tag       bytea not null,
  request_tag   bytea not null,
  status        smallint,
  person_id     uuid,
  answer        bytea,
  created_at    timestamptz not null,
  primary key (workspace_id, environment, key_tag)
);
create index idempotency_age on idempotency (created_at);

-- owner: privacy
create table person_key (
  workspace_id  uuid not null,
  environment   text not null,
  person_id     uuid not null,
  class         text not null check (class in ('operational', 'evidence')),
  epoch         text not null,
  wrapped       bytea not null,
  primary key (workspace_id, environment, person_id, class)
);

-- owner: privacy
create table receipt (
  workspace_id  uuid not null,
  environment   text not null,
  id            uuid not null,
  person_id     uuid not null,
  document      bytea not null,
  signature     bytea not null,
  created_at    timestamptz not null,
  primary key (workspace_id, environment, id),
  unique (workspace_id, environment, person_id)
);

-- owner: jobs
create table job (
  workspace_id  uuid not null,
  environment   text not null,
  id            uuid not null,
  kind          text not null,
  key           text not null,
  args          bytea not null,
  run_at        timestamptz not null,
  leased_until  timestamptz,
  fence         int not null default 0,
  again_at      timestamptz,
  failures      int not null default 0,
  last_error    text,
  primary key (workspace_id, environment, id),
  unique (workspace_id, environment, kind, key)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
create index job_due on job (workspace_id, environment, run_at);

-- owner: jobs
create table job_progress (
  workspace_id  uuid not null,
  environment   text not null,
  job_id        uuid not null,
  kind          text not null,
  status        text not null check (status in ('queued', 'running', 'done', 'failed')),
  done          int not null default 0,
  total         int,
  result        bytea,
  created_at    timestamptz not null,
  updated_at    timestamptz not null,
  primary key (workspace_id, environment, job_id)
) with (fillfactor = 70);

-- owner: events
create table installation (
  only_row           boolean primary key default true check (only_row),
  system_identifier  text not null,
  epoch              int not null
);

-- owner: events
create table subject (
  workspace_id  uuid not null,
  environment   text not null,
  id            uuid not null,
  event_seq     int not null,
  primary key (workspace_id, environment, id)
) with (fillfactor = 60);

-- owner: events
create table event (
  workspace_id  uuid not null,
  environment   text not null,
  written_at    timestamptz not null,
  id            uuid not null,
  type          text not null,
  subject_type  text not null,
  subject_id    uuid not null,
  sequence      int not null,
  person_id     uuid,
  occurred_at   timestamptz not null,
  epoch         int not null,
  xid           xid8 not null default pg_current_xact_id(),
  -- The one endpoint that is told of it; null for nearly all.
  only_for      uuid,
  body          bytea not null,
  primary key (workspace_id, environment, written_at, id)
) partition by range (written_at);
alter table event alter column body set storage external;
create index event_subject on event (workspace_id, environment, subject_id, sequence);
create index event_log on event (workspace_id, environment, epoch, xid, id);

-- owner: events
-- What happens once per subject (a call starts once and ends once): a second time breaks this key, and its transaction.
create table event_once (
  workspace_id  uuid not null,
  environment   text not null,
  subject_id    uuid not null,
  type          text not null,
  primary key (workspace_id, environment, subject_id, type)
);

-- owner: compliance
create table suppression (
  workspace_id  uuid not null,
  environment   text not null,
  id            uuid not null,
  scope         text not null check (scope in ('seller', 'workspace')),
  tag           bytea not null,
  tag_version   int not null,
  kind          text not null check (kind in ('phone', 'email')),
  source        text not null,
  effective_at  timestamptz not null,
  created_at    timestamptz not null,
  updated_at    timestamptz not null,
  version       int not null default 1,
  primary key (workspace_id, environment, id),
  unique (workspace_id, environment, tag, scope)
);

-- owner: providers
create table provider_account (
  workspace_id  uuid not null,
  environment   text not null,
  id            uuid not null,
  provider      text not null,
  name          text not null,
  settings      jsonb not null default '{}',
  secret        bytea,
  is_default    boolean not null default false,
  created_at    timestamptz not null,
  updated_at    timestamptz not null,
  version       int not null default 1,
  primary key (workspace_id, environment, id),
  unique (workspace_id, environment, provider, name)
);
create unique index provider_account_id on provider_account (id);
create unique index provider_account_default on provider_account (workspace_id, environment) where is_default;

-- owner: routing
create table target (
  workspace_id  uuid not null,
  environment   text not null,
  id            uuid not null,
  external_id   text,
  name          text not null,
  kind          text not null check (kind in ('did', 'sip', 'queue')),
  address       text not null,
  priority      int not null default 1,
  slots         int not null check (slots between 0 and 10000),
  status        text not null default 'active' check (status in ('active', 'paused')),
  timeout_s     int not null default 30 check (timeout_s between 1 and 300),
  metadata      jsonb not null default '{}',
  created_at    timestamptz not null,
  updated_at    timestamptz not null,
  version       int not null default 1,
  primary key (workspace_id, environment, id),
  unique (workspace_id, environment, external_id)
);

-- owner: routing
-- One row per human who can take a call. A lease is the only thing that lets a campaign with transfers dial.
create table slot (
  workspace_id  uuid not null,
  environment   text not null,
  target_id     uuid not null,
  n             int not null,
  held_by       uuid,
  campaign_id   uuid,
  held_until    timestamptz,
  fence         int not null default 0,
  primary key (workspace_id, environment, target_id, n),
  foreign key (workspace_id, environment, target_id) references target on delete cascade
) with (fillfactor = 50);
create index slot_holder on slot (workspace_id, environment, held_by) where held_by is not null;

-- owner: routing
create table decision (
  workspace_id  uuid not null,
  environment   text not null,
  id            uuid not null,
  call_id       uuid not null,
  purpose       text not null check (purpose in ('dial', 'transfer')),
  target_id     uuid,
  record        jsonb not null,
  decided_at    timestamptz not null,
  primary key (workspace_id, environment, id)
);
create index decision_call on decision (workspace_id, environment, call_id);

-- owner: leads
create table lead (
  workspace_id     uuid not null,
  environment      text not null,
  id               uuid not null,
  ref_tag          bytea not null,
  payload_tag      bytea not null,
  campaign_id      uuid not null,
  status           text not null,
  resume_status    text,
  number_tag       bytea not null,
  email_tag        bytea,
  zones            text[] not null,
  jurisdictions    text[] not null,
  preflight        jsonb not null,
  details          bytea,
  evidence         bytea,
  next_attempt_at  timestamptz,
  settled_by       text,
  settled_at       timestamptz,
  erase_by         timestamptz,
  erased_at        timestamptz,
  created_at       timestamptz not null,
  updated_at       timestamptz not null,
  version          int not null default 1,
  primary key (workspace_id, environment, id),
  unique (workspace_id, environment, ref_tag)
) with (fillfactor = 80);
create index lead_campaign on lead (workspace_id, environment, campaign_id, id);
create index lead_number on lead (workspace_id, environment, number_tag);
create index lead_email on lead (workspace_id, environment, email_tag) where email_tag is not null;

-- owner: leads
-- The one lead that a number belongs to: what makes a second lead with that number a duplicate, also under concurrency.
create table number_claim (
  workspace_id  uuid not null,
  environment   text not null,
  number_tag    bytea not null,
  lead_id       uuid not null,
  primary key (workspace_id, environment, number_tag)
);

-- owner: leads
create table import_chunk (
  workspace_id  uuid not null,
  environment   text not null,
  job_id        uuid not null,
  n             int not null,
  rows          bytea not null,
  written_at    timestamptz not null,
  primary key (workspace_id, environment, job_id, n)
);

-- owner: dialing
create table cadence (
  workspace_id  uuid not null,
  environment   text not null,
  id            uuid not null,
  external_id   text,
  name          text not null,
  latest        int not null,
  metadata      jsonb not null default '{}',
  created_at    timestamptz not null,
  updated_at    timestamptz not null,
  version       int not null default 1,
  primary key (workspace_id, environment, id),
  unique (workspace_id, environment, external_id)
);

-- owner: dialing
create table cadence_version (
  workspace_id  uuid not null,
  environment   text not null,
  cadence_id    uuid not null,
  number        int not null,
  plan          jsonb not null,
  created_at    timestamptz not null,
  primary key (workspace_id, environment, cadence_id, number),
  foreign key (workspace_id, environment, cadence_id) references cadence on delete cascade
);

-- owner: dialing
create table campaign (
  workspace_id          uuid not null,
  environment           text not null,
  id                    uuid not null,
  external_id           text,
  name                  text not null,
  status                text not null check (status in ('draft', 'running', 'paused', 'completed', 'cancelled')),
  mode                  text not null check (mode in ('ai_only', 'ai_first')),
  is_default            boolean not null default false,
  cadence_id            uuid not null,
  provider_account_id   uuid,
  max_live_transfers    int check (max_live_transfers >= 0),
  max_concurrent_calls  int not null check (max_concurrent_calls >= 0),
  ring_timeout_s        int not null default 25 check (ring_timeout_s between 15 and 60),
  max_duration_s        int not null default 1800 check (max_duration_s between 30 and 14400),
  caller_id             text,
  metadata              jsonb not null default '{}',
  created_at            timestamptz not null,
  updated_at            timestamptz not null,
  version               int not null default 1,
  primary key (workspace_id, environment, id),
  unique (workspace_id, environment, external_id),
  foreign key (workspace_id, environment, cadence_id) references cadence,
  foreign key (workspace_id, environment, provider_account_id) references provider_account
);
create unique index campaign_default on campaign (workspace_id, environment) where is_default;

-- owner: dialing
create table attempt (
  workspace_id     uuid not null,
  environment      text not null,
  id               uuid not null,
  lead_id          uuid not null,
  campaign_id      uuid not null,
  n                int not null,
  base             int not null default 0,
  cadence_id       uuid not null,
  cadence_version  int not null,
  state            text not null check (state in ('planned', 'paused', 'dialing', 'resolved', 'cancelled')),
  due_at           timestamptz not null,
  priority         int not null default 0,
  blocker          text,
  call_id          uuid,
  dialed_at        timestamptz,
  outcome          text,
  reason           text,
  primary key (workspace_id, environment, id),
  unique (workspace_id, environment, lead_id, n),
  foreign key (workspace_id, environment, lead_id) references lead,
  foreign key (workspace_id, environment, campaign_id) references campaign,
  foreign key (workspace_id, environment, cadence_id, cadence_version) references cadence_version
) with (fillfactor = 80);
create index attempt_due on attempt (workspace_id, environment, campaign_id, due_at) where state = 'planned';
create index attempt_dialing on attempt (workspace_id, environment, campaign_id) where state = 'dialing';
create index attempt_rest on attempt (workspace_id, environment, campaign_id, state, outcome) where state in ('paused', 'resolved', 'cancelled');
create index attempt_call on attempt (workspace_id, environment, call_id) where call_id is not null;
create unique index attempt_open on attempt (workspace_id, environment, lead_id) where state in ('planned', 'paused', 'dialing');

-- owner: calls
create table call (
  workspace_id         uuid not null,
  environment          text not null,
  id                   uuid not null,
  direction            text not null check (direction in ('outbound', 'inbound')),
  mode                 text not null,
  status               text not null,
  person_id            uuid not null,
  lead_id              uuid,
  campaign_id          uuid,
  attempt_id           uuid,
  provider_account_id  uuid not null,
  platform_ref         text,
  number_tag           bytea not null,
  story                bytea,
  state                jsonb not null,
  stop_requested_at    timestamptz,
  placing_until        timestamptz,
  started_at           timestamptz not null,
  ended_at             timestamptz,
  updated_at           timestamptz not null,
  version              int not null default 1,
  primary key (workspace_id, environment, id),
  check ((status = 'ended') = (ended_at is not null))
) with (fillfactor = 60);
create index call_platform on call (workspace_id, environment, provider_account_id, platform_ref);
create index call_recent on call (workspace_id, environment, started_at, id);
create index call_lead on call (workspace_id, environment, lead_id);
create index call_placing on call (workspace_id, environment, placing_until) where placing_until is not null;
create index call_open on call (workspace_id, environment, number_tag) where ended_at is null;

-- owner: calls
create table leg (
  workspace_id  uuid not null,
  environment   text not null,
  call_id       uuid not null,
  n             int not null,
  role          text not null check (role in ('consumer', 'human', 'ai', 'assistant')),
  platform_ref  text,
  target_id     uuid,
  started_at    timestamptz not null,
  answered_at   timestamptz,
  ended_at      timestamptz,
  primary key (workspace_id, environment, call_id, n),
  foreign key (workspace_id, environment, call_id) references call
);

-- owner: calls
create table transfer (
  workspace_id  uuid not null,
  environment   text not null,
  id            uuid not null,
  call_id       uuid not null,
  target_id     uuid,
  status        text not null,
  requested_at  timestamptz not null,
  bridged_at    timestamptz,
  ended_at      timestamptz,
  primary key (workspace_id, environment, id),
  foreign key (workspace_id, environment, call_id) references call
);
create unique index transfer_open on transfer (workspace_id, environment, call_id) where ended_at is null;

-- owner: calls
create table report_seen (
  workspace_id         uuid not null,
  environment          text not null,
  provider_account_id  uuid not null,
  report_key           text not null,
  seen_at              timestamptz not null,
  primary key (workspace_id, environment, provider_account_id, report_key)
);
create index report_seen_age on report_seen (seen_at);

-- owner: webhooks
create table endpoint (
  workspace_id     uuid not null,
  environment      text not null,
  id               uuid not null,
  external_id      text,
  url              text not null,
  events           text[] not null,
  description      text not null default '',
  settings         jsonb not null default '{}',
  needs_owner      boolean not null default false,
  secret           bytea not null,
  status           text not null check (status in ('pending_test', 'active', 'failing', 'paused', 'disabled')),
  status_reason    text,
  failures_in_row  int not null default 0,
  failing_since    timestamptz,
  last_success_at  timestamptz,
  enabled_at       timestamptz,
  metadata         jsonb not null default '{}',
  created_at       timestamptz not null,
  updated_at       timestamptz not null,
  version          int not null default 1,
  primary key (workspace_id, environment, id),
  unique (workspace_id, environment, external_id)
) with (fillfactor = 60);
create index endpoint_needs_owner on endpoint (id) where needs_owner;
create index endpoint_troubled on endpoint (id) where failures_in_row > 0 or status in ('failing', 'pending_test');

-- owner: webhooks
-- What was opened for an endpoint before that instant of the real clock is given up, and goes from `due` bit by bit. `at` is
-- when somebody said so, by the environment's clock.
create table given_up (
  workspace_id  uuid not null,
  environment   text not null,
  endpoint_id   uuid not null,
  before        timestamptz not null,
  at            timestamptz not null,
  reason        text not null,
  primary key (workspace_id, environment, endpoint_id)
);

-- owner: webhooks
-- Which process alone sends to an endpoint that bounds or orders what it gets. A lease; `sender` tells who is alive.
create table endpoint_owner (
  workspace_id  uuid not null,
  environment   text not null,
  endpoint_id   uuid primary key,
  sender_id     uuid not null,
  leased_until  timestamptz not null
) with (fillfactor = 60);

-- owner: webhooks
create table sender (
  id          uuid primary key,
  seen_until  timestamptz not null
) with (fillfactor = 60);

-- owner: webhooks
-- Raised by whatever changes an endpoint; `append` compares it with the version its process has cached.
create table endpoint_generation (
  workspace_id  uuid not null,
  environment   text not null,
  generation    bigint not null,
  primary key (workspace_id, environment),
  foreign key (workspace_id, environment) references environment
);

-- owner: webhooks
create table delivery (
  workspace_id  uuid not null,
  environment   text not null,
  written_at    timestamptz not null,
  id            uuid not null,
  event_id      uuid not null,
  event_at      timestamptz not null,
  endpoint_id   uuid not null,
  type          text not null,
  subject_id    uuid not null,
  sequence      int not null,
  rendering     text,
  primary key (workspace_id, environment, written_at, id)
) partition by range (written_at);
create index delivery_id on delivery (id);
create index delivery_endpoint on delivery (workspace_id, environment, endpoint_id, written_at);

-- owner: webhooks
-- The bytes of an event for endpoints that want it otherwise than as the log keeps it; sealed as the event is.
create table rendering (
  workspace_id  uuid not null,
  environment   text not null,
  written_at    timestamptz not null,
  event_id      uuid not null,
  word          text not null,
  body          bytea not null,
  primary key (workspace_id, environment, written_at, event_id, word)
) partition by range (written_at);
alter table rendering alter column body set storage external;

-- owner: webhooks
-- What is still open. Deleted when the delivery is delivered, dead or discarded, so claims stay flat for ever. Whether it
-- is held or given up stands in no row: that follows from its endpoint.
create table due (
  workspace_id  uuid not null,
  environment   text not null,
  delivery_id   uuid primary key,
  written_at    timestamptz not null,
  event_id      uuid not null,
  event_at      timestamptz not null,
  endpoint_id   uuid not null,
  due_at        timestamptz not null,
  first_try_at  timestamptz,
  tries         smallint not null default 0,
  replayed_at   timestamptz,
  leased_until  timestamptz,
  fence         int not null default 0,
  test          boolean not null default false,
  rendering     text,
  -- Set for an endpoint that wants the events of a subject in order: until when this one waits for those before it.
  subject_id    uuid,
  sequence      int,
  ordered_until timestamptz,
  batch_id      uuid
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
create index due_endpoint on due (endpoint_id, due_at);
create index due_retries on due (endpoint_id, due_at) where tries > 0;
create index due_tests on due (endpoint_id, due_at) where test;
create index due_order on due (endpoint_id, subject_id, sequence) where subject_id is not null;
create index due_batch on due (batch_id) where batch_id is not null;

-- owner: webhooks
create table try (
  workspace_id      uuid not null,
  environment       text not null,
  written_at        timestamptz not null,
  delivery_id       uuid not null,
  n                 smallint not null,
  at                timestamptz not null,
  status_code       smallint,
  error_code        text,
  error_text        text,
  timing_ms         real[] not null,
  replay            boolean not null default false,
  tombstone         boolean not null default false,
  batch_id          uuid,
  request           bytea,
  response          bytea,
  primary key (workspace_id, environment, written_at, delivery_id, n)
) partition by range (written_at);
create index try_delivery on try (delivery_id);

-- owner: webhooks
create table dead_letter (
  workspace_id  uuid not null,
  environment   text not null,
  delivery_id   uuid not null,
  written_at    timestamptz not null,
  event_id      uuid not null,
  event_at      timestamptz not null,
  endpoint_id   uuid not null,
  tries         smallint not null,
  reason        text not null,
  status        text not null default 'dead' check (status in ('dead', 'discarded')),
  died_at       timestamptz not null,
  primary key (workspace_id, environment, delivery_id)
);
create index dead_letter_age on dead_letter (workspace_id, environment, died_at, delivery_id);
create index dead_letter_endpoint on dead_letter (workspace_id, environment, endpoint_id, died_at, delivery_id) where status = 'dead';

-- owner: webhooks
-- An endpoint in trouble of one kind: since when, how often, until when.
create table incident (
  workspace_id  uuid not null,
  environment   text not null,
  endpoint_id   uuid not null,
  about         text not null check (about in ('failing', 'disabled', 'lagging', 'dead_letters')),
  since         timestamptz not null,
  latest_at     timestamptz not null,
  count         int not null,
  detail        text not null,
  over_at       timestamptz,
  primary key (workspace_id, environment, endpoint_id, about)
) with (fillfactor = 60);

-- owner: webhooks
-- Who is alerted, of what, and until when they know. `target` is sealed.
create table alert (
  workspace_id  uuid not null,
  environment   text not null,
  id            uuid not null,
  external_id   text,
  name          text not null,
  about         text[] not null,
  endpoints     uuid[],
  target_type   text not null check (target_type in ('email', 'slack', 'webhook_endpoint')),
  target        bytea not null,
  every_s       int not null,
  told_until    timestamptz not null,
  told_at       timestamptz,
  failures      int not null default 0,
  failed_at     timestamptz,
  last_error    text,
  metadata      jsonb not null default '{}',
  created_at    timestamptz not null,
  updated_at    timestamptz not null,
  version       int not null default 1,
  primary key (workspace_id, environment, id),
  unique (workspace_id, environment, external_id)
) with (fillfactor = 60);

-- owner: webhooks
-- Many deliveries replayed or cancelled, page by page: how far it is stands in its own row. `until` is wall.
create table replay (
  workspace_id    uuid not null,
  environment     text not null,
  id              uuid not null,
  verb            text not null check (verb in ('replay', 'cancel')),
  status          text not null check (status in ('queued', 'running', 'paused', 'done', 'cancelled', 'failed')),
  filter          jsonb not null,
  missing         boolean not null,
  rate_per_s      int check (rate_per_s between 1 and 10000),
  actor_type      text not null,
  actor_id        text,
  until           timestamptz not null,
  -- Whoever could have missed the endpoint had a number below this one.
  xid             xid8 not null default pg_current_xact_id(),
  position_at     timestamptz not null,
  position_id     uuid not null,
  next_at         timestamptz,
  total           int not null,
  total_is_exact  boolean not null,
  done            int not null default 0,
  opened          int not null default 0,
  passed_over     jsonb not null default '{}',
  untold          jsonb not null default '{}',
  error           text,
  created_at      timestamptz not null,
  started_at      timestamptz,
  ended_at        timestamptz,
  updated_at      timestamptz not null,
  primary key (workspace_id, environment, id)
) with (fillfactor = 60);

-- owner: webhooks
-- What tries came to, added up as they were recorded, by each process in rows of its own: in minutes, which are kept for
-- hours, and in hours, which are kept for days. `at` is of the real clock. The two arrays are histograms (`histogram.py`),
-- cut off after the last bucket that holds something.
create table endpoint_figures (
  workspace_id  uuid not null,
  environment   text not null,
  endpoint_id   uuid not null,
  grain         text not null check (grain in ('minute', 'hour')),
  at            timestamptz not null,
  sender_id     uuid not null,
  tries         int not null,
  delivered     int not null,
  failed        int not null,
  dead          int not null,
  total         int[] not null,
  propagation   int[] not null,
  primary key (workspace_id, environment, endpoint_id, grain, at, sender_id)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
create index endpoint_figures_age on endpoint_figures (grain, at);

-- owner: webhooks
-- The failures of an endpoint that have one cause, as one thing to be done. It is resolved by somebody, or by the endpoint's
-- next success (which is seen when it is read), and opens again when it happens again.
create table delivery_issue (
  workspace_id     uuid not null,
  environment      text not null,
  id               uuid not null,
  endpoint_id      uuid not null,
  cause            text not null,
  status           text not null default 'open' check (status in ('open', 'resolved', 'ignored')),
  count            bigint not null,
  first_tries      bigint not null,
  dead             bigint not null,
  sample           uuid not null,
  first_seen_at    timestamptz not null,
  last_seen_at     timestamptz not null,
  resolved_at      timestamptz,
  version          int not null default 1,
  primary key (workspace_id, environment, id),
  unique (workspace_id, environment, endpoint_id, cause)
) with (fillfactor = 60);

-- owner: sync
create table postback (
  workspace_id  uuid not null,
  environment   text not null,
  id            uuid not null,
  type          text not null,
  external_tag  bytea,
  ref_tag       bytea,
  lead_id       uuid,
  content       bytea,
  occurred_at   timestamptz not null,
  applied       boolean not null,
  answer        jsonb not null,
  created_at    timestamptz not null,
  primary key (workspace_id, environment, id)
);
create unique index postback_once on postback (workspace_id, environment, type, external_tag) where external_tag is not null;
create index postback_waiting on postback (workspace_id, environment, ref_tag) where not applied;
create index postback_kept on postback (workspace_id, environment, created_at) where content is not null;

-- owner: sync
create table opt_out (
  workspace_id  uuid not null,
  environment   text not null,
  id            uuid not null,
  channel       text not null check (channel in ('voice', 'sms', 'email', 'web', 'crm')),
  scope         text not null,
  tag           bytea not null,
  person_id     uuid not null,
  evidence      bytea not null,
  answer        jsonb not null,
  effective_at  timestamptz not null,
  created_at    timestamptz not null,
  primary key (workspace_id, environment, id),
  unique (workspace_id, environment, tag, scope, channel)
);

-- owner: sandbox
create table pretend_call (
  workspace_id  uuid not null,
  environment   text not null,
  call_id       uuid not null,
  platform_ref  text not null,
  account_id    uuid not null,
  script        jsonb not null,
  step          int not null default 0,
  status        text not null,
  primary key (workspace_id, environment, call_id)
) with (fillfactor = 60);

-- owner: sandbox
create table inbox (
  workspace_id  uuid not null,
  environment   text not null,
  id            uuid not null,
  received_at   timestamptz not null,
  webhook_id    text not null,
  verified      boolean not null,
  person_id     uuid,
  message       bytea not null,
  primary key (workspace_id, environment, id)
);

-- Partitions by day of real time. A day that nobody prepared is an error, so they are made two weeks ahead.
create function make_partitions(days int) returns void language plpgsql security definer set search_path = public, pg_temp as $$
declare
  parent text;
  day date;
begin
  perform pg_advisory_xact_lock(hashtext('offhook.make_partitions'));
  foreach parent in array array['event', 'rendering', 'delivery', 'try'] loop
    for day in select (current_date + i)::date from generate_series(-1, days) i loop
      if to_regclass(format('%I', parent || '_' || to_char(day, 'YYYYMMDD'))) is null then
        execute format('create table %I partition of %I for values from (%L) to (%L)',
                       parent || '_' || to_char(day, 'YYYYMMDD'), parent, day::timestamp at time zone 'UTC', (day + 1)::timestamp at time zone 'UTC');
      end if;
    end loop;
  end loop;
end $$;

-- Young tables grow from nothing to thousands of rows in seconds, and plans made for empty ones are ruinous. This looks
-- sooner than autovacuum does, at each fourfold growth and no oftener, for every plan that reads the table is then made
-- anew by every connection; tables past a million rows are left to autovacuum, and so are those that only change.
-- A tenth of the usual sample: our plans need to know how large a table is and little more, and its pages cost the disk.
create function refresh_statistics() returns int language plpgsql security definer set search_path = public, pg_temp
 set default_statistics_target = 10 as $$
declare
  young text;
  refreshed int := 0;
begin
  if not pg_try_advisory_xact_lock(hashtext('offhook.refresh_statistics')) then
    return 0;
  end if;
  for young in select s.relname from pg_stat_user_tables s join pg_class c on c.oid = s.relid where s.schemaname = 'public'
               and s.n_live_tup < 1000000 and s.n_live_tup > greatest(200, 4 * c.reltuples) loop
    execute format('analyze %I', young);
    refreshed := refreshed + 1;
  end loop;
  return refreshed;
end $$;

-- Whose key is that? The one question that is asked before a tenant is known.
create function find_api_key(key_hash bytea) returns setof api_key language sql stable security definer set search_path = public, pg_temp as $$
  select * from api_key where hash = key_hash
$$;

-- The environment's time, for statements that work over tenants.
create function environment_now(workspace uuid, env text) returns timestamptz language sql stable as $$
  select now() + clock_offset from environment where workspace_id = workspace and environment = env
$$;

-- Empties a sandbox of all that happened in it. Row-level security keeps it to the tenant that asks.
create function forget_sandbox() returns void language plpgsql as $$
begin
  if current_setting('offhook.environment') <> 'sandbox' then
    raise exception 'only a sandbox can be emptied';
  end if;
  delete from job; delete from job_progress; delete from import_chunk; delete from inbox; delete from pretend_call;
  delete from opt_out; delete from postback; delete from suppression; delete from idempotency;
  delete from endpoint_figures; delete from delivery_issue;
  delete from incident; delete from replay; delete from given_up; delete from due; delete from dead_letter; delete from try; delete from delivery; delete from rendering; delete from event; delete from event_once;
  delete from subject;
  delete from report_seen; delete from decision; delete from transfer; delete from leg; delete from call;
  delete from attempt; delete from number_claim; delete from lead; delete from receipt; delete from person_key;
  update slot set held_by = null, campaign_id = null, held_until = null where held_by is not null;
  -- The clock may go back: what stays must remember no instant that is still to come.
  update alert set told_until = to_timestamp(0), told_at = null, failures = 0, failed_at = null, last_error = null;
  update endpoint set failures_in_row = 0, failing_since = null, last_success_at = null, enabled_at = null,
    status_reason = case when status <> 'failing' then status_reason end, status = case status when 'failing' then 'active' else status end
    where failures_in_row > 0 or failing_since is not null or last_success_at is not null or enabled_at is not null or status = 'failing';
  update endpoint_generation set generation = generation + 1;
end $$;

do $$
declare
  name text;
begin
  for name in select c.table_name from information_schema.columns c join information_schema.tables t using (table_schema, table_name)
              where c.table_schema = 'public' and c.column_name = 'environment' and t.table_type = 'BASE TABLE'
                and c.table_name not in (select inhrelid::regclass::text from pg_inherits) loop
    execute format('alter table %I enable row level security', name);
    execute format('alter table %I force row level security', name);
    execute format($p$create policy tenant on %I to offhook_app using (
      workspace_id = (select current_setting('offhook.workspace')::uuid) and environment = (select current_setting('offhook.environment')))$p$, name);
    execute format('grant select, insert, update, delete on %I to offhook_app', name);
  end loop;
  foreach name in array array['environment', 'api_key', 'rate_bucket', 'idempotency', 'person_key', 'job', 'report_seen',
                              'event', 'rendering', 'endpoint', 'endpoint_generation', 'endpoint_owner', 'delivery', 'due', 'given_up', 'dead_letter', 'try', 'incident', 'attempt', 'campaign', 'call',
                              'provider_account', 'postback', 'import_chunk', 'target', 'slot', 'endpoint_figures', 'delivery_issue'] loop
    execute format('create policy engine on %I to offhook_engine using (true)', name);
    execute format('grant select on %I to offhook_engine', name);
  end loop;
end $$;
create policy lookup on api_key for select to current_user using (true);
grant insert, update, delete on job, due, try, endpoint_owner, endpoint_figures, delivery_issue to offhook_engine;
grant select, insert, update, delete on sender to offhook_engine;
grant update on endpoint to offhook_engine;
grant delete on given_up to offhook_engine;
grant insert on dead_letter to offhook_engine;
grant select, insert, update, delete on rate_bucket to offhook_engine;
grant delete on idempotency, report_seen, postback, incident to offhook_engine;

alter table workspace enable row level security;
alter table workspace force row level security;
create policy tenant on workspace to offhook_app using (id = (select current_setting('offhook.workspace')::uuid));
create policy engine on workspace to offhook_engine using (true);
grant select, insert, update on workspace to offhook_app;
grant select on workspace to offhook_engine;
grant select, insert, update on installation to offhook_engine;
grant select on installation to offhook_app;
revoke all on function make_partitions(int), refresh_statistics(), find_api_key(bytea) from public;
grant execute on function make_partitions(int), refresh_statistics() to offhook_engine;
grant execute on function find_api_key(bytea) to offhook_app, offhook_engine;
do $$ begin perform make_partitions(14); end $$;
