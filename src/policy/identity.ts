/**
 * The identity rules as they apply to members and ring instances: which addresses and which names the cluster's own have. They are
 * looked at one kind at a time: where there are CIDRs or DNS names an address has to be in one, where there are name patterns a name has
 * to match one.
 */
import { type Cidr, createAdmission, NO_ADMISSION_RULES } from './admission.ts';
import { matchesName } from './names.ts';

/** Plain data: structured-clone safe. */
export interface IdentityRules {
  readonly cidrs: readonly Cidr[];
  readonly names: readonly string[];
  /** Addresses that DNS vouches for; undefined where no DNS name is configured, or until all of them answered. */
  readonly dns?: readonly string[];
}

/** Which rule something is outside of. */
export type Outside = 'address' | 'name';

export interface Identity {
  readonly hasRules: boolean;
  /** Which rule a member of this name at this address (text) is outside of; undefined when it keeps them all. */
  outside(name: string, address: string): Outside | undefined;
  outsideAddress(address: string): boolean;
  outsideName(name: string): boolean;
}

export const NO_IDENTITY_RULES: IdentityRules = { cidrs: [], names: [] };

export function createIdentity({ cidrs, names, dns }: IdentityRules): Identity {
  const admission = createAdmission({ ...NO_ADMISSION_RULES, cidrs, byDns: dns !== undefined, dns: dns ?? [] });
  const outsideAddress = (address: string) => !admission.admits(address);
  const outsideName = (name: string) => names.length > 0 && !names.some((pattern) => matchesName(pattern, name));
  return {
    hasRules: admission.hasRules || names.length > 0,
    outside: (name, address) => (outsideAddress(address) ? 'address' : outsideName(name) ? 'name' : undefined),
    outsideAddress,
    outsideName,
  };
}
