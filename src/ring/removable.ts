/** Whether the fence could be taken away without anybody noticing: the end of an adoption, when every member speaks the label itself. */
import { readiness, type Situation } from './readiness.ts';
import { againstText } from './readiness-text.ts';

export interface Removable {
  readonly yes: boolean;
  /** One line, escaped. */
  readonly why: string;
}

/** Without the fence the app meets every member in its own dialect, and every member meets the app in it. */
export function removable(situation: Situation): Removable {
  const { stage, dialects } = situation;
  const no = (why: string) => ({ yes: false, why });
  if (dialects.sends !== 'own') return no('the app does not send the label itself (app.sends)');
  if (dialects.takes === 'none') return no('the app does not take the label itself (app.takes)');
  if (stage !== 'enforce' && dialects.wire !== 'own') return no(`the fence is at ${stage}, and not at enforce yet`);
  // What a fence meets that goes from accept to enforce is what the bare app would meet: its own label out, and nothing else in.
  const { against, againstTotal } = readiness('enforce', { ...situation, stage: 'accept' });
  const [first] = against;
  if (first !== undefined) {
    const more = againstTotal > 1 ? `, and ${againstTotal - 1} more` : '';
    return no(`not every member is known to speak the label: ${againstText(first)}${more}`);
  }
  return {
    yes: true,
    why: 'the app and every member speak the label themselves; what goes with the fence is its shield and its counting',
  };
}
