/** The audit log, page by page. */

import { MAX_SHOWN, merged } from '../core/audit';
import { api } from '../drivers/api';
import type { AuditEvent } from '../protocol';
import { attempt } from './attempt';

export class AuditLog {
  /** The events that were loaded, the newest first; `null` before the first page. */
  events = $state.raw<readonly AuditEvent[] | null>(null);
  /** True once there are no older ones. */
  isAtEnd = $state(false);
  error = $state<string | null>(null);
  busy = $state(false);

  get isFull(): boolean {
    return (this.events?.length ?? 0) >= MAX_SHOWN;
  }

  /** Loads the newest events. */
  async load(): Promise<void> {
    this.error = await attempt(async () => {
      const { events } = await api.audit();
      if (events.length === 0) this.isAtEnd = true;
      this.events = merged(this.events ?? [], events);
    });
  }

  /** Loads the page after the oldest event. */
  async loadOlder(): Promise<void> {
    const oldest = this.events?.at(-1);
    if (oldest === undefined || this.busy || this.isFull) return;
    this.busy = true;
    this.error = await attempt(async () => {
      const { events } = await api.audit(oldest.id);
      if (events.length === 0) this.isAtEnd = true;
      this.events = merged(this.events ?? [], events);
    });
    this.busy = false;
  }
}
