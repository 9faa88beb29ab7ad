import { Link } from '@tanstack/react-router';
import { Word } from './Word';

export function NotFound() {
  return (
    <Word title="There is no such page">
      The pages are <Link to="/">Overview</Link>, <Link to="/containers">Containers</Link>,{' '}
      <Link to="/explore">Explore</Link> and <Link to="/status">Status</Link>.
    </Word>
  );
}
