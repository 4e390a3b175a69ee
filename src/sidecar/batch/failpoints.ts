/**
 * Called between any two steps that a crash could separate, with the name of the moment. Production does nothing there; tests kill the process or
 * throw. Names: `directory-written`, `accepted`, `intent-written`, `command-done`, `id-written`, `stop-written`, `forgotten`.
 */
export type Failpoints = (name: string) => void | Promise<void>;

/** The failpoints of production. */
export const noFailpoints: Failpoints = () => {};
