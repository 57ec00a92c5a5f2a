import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";

/** A file that holds the last cursor. It is replaced whole: a crash leaves the old one or the new one, never half of one. */
export class CursorFile {
  constructor(private readonly path: string | undefined) {}

  read(): string | undefined {
    if (this.path === undefined || !existsSync(this.path)) return undefined;
    return readFileSync(this.path, "utf8").trim() || undefined;
  }

  keep(cursor: string): void {
    if (this.path === undefined) return;
    const fresh = `${this.path}.new`;
    writeFileSync(fresh, cursor);
    renameSync(fresh, this.path);
  }
}
