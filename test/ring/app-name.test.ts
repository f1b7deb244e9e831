import t from 'tap';
import { AppName } from '../../src/ring/app-name.ts';

const create = () => new AppName((address, port) => address === '10.0.0.1' && port === 7946);

t.test('the app is who it names alive at our own address, until a ping shows its name', async (t) => {
  const app = create();
  t.equal(app.name, undefined);
  app.named('other', '10.0.0.2', 7946);
  app.named('beside', '10.0.0.1', 7947);
  t.equal(app.name, undefined);
  app.named('me', '10.0.0.1', 7946);
  t.equal(app.name, 'me');
  app.named('other', '10.0.0.2', 7946);
  t.equal(app.name, 'me');
  app.named('me', '10.0.0.3', 7946);
  t.equal(app.name, undefined, 'it moved away');
  app.named('me', '10.0.0.1', 7946);
  app.show('');
  app.show('x'.repeat(513));
  t.equal(app.name, 'me');
  app.show('shown');
  t.equal(app.name, 'shown');
});
