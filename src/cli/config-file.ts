/** The configuration file when none is named, relative to the working directory. */
export const DEFAULT_CONFIG_FILE = 'config/understudy.yaml'
