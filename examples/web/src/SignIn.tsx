import type { FormEvent } from "react";

interface Props {
  refusal: string | undefined;
  onKey(key: string): void;
}

export function SignIn({ refusal, onKey }: Props) {
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const key = new FormData(event.currentTarget).get("key");
    if (typeof key === "string" && key.trim() !== "") onKey(key.trim());
  };
  return (
    <main className="sign-in">
      <h1>Profiles</h1>
      <form onSubmit={submit}>
        <label htmlFor="key">Access key</label>
        <input id="key" name="key" type="password" autoComplete="off" required autoFocus />
        <button type="submit">Open</button>
        {refusal && <p role="alert">{refusal}</p>}
      </form>
      <p className="quiet">
        <code>profile-mirror demo</code> prints one.
      </p>
    </main>
  );
}
